#!/bin/sh
# Each chapter's steps lead from its sketch to its server: every patch applies, what comes of it compiles without a
# warning, and the last is server.cpp, byte for byte. The same of `mirror`, which makes another service of the sketch, and of
# `attempts`, which lead from the last chapter's sketch to this one's.
#
#   tests/steps/steps.sh             all chapters
#   tests/steps/steps.sh --judge     and plays each step's cases, with build/linux/bin/conformance: red before, green after
#   tests/steps/steps.sh 03 05       those chapters; --judge comes first
set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/steps/paths.sh

judges=
case ${1-} in
--judge)
  judges=yes
  shift
  ;;
-*)
  sed -n '2,9s/^# \{0,1\}//p' "$0"
  [ "$1" = --help ]
  exit
  ;;
esac
most=100 # changed lines a step: about as much as one reads at a time

work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
status=0
wrong() {
  echo "$steps, step $number: $1"
  status=1
}

make() { # of server.cpp in $work
  only=
  [ -n "$judges" ] || only=-fsyntax-only
  # shellcheck disable=SC2086
  ! have_compiler || compile "$work/server.cpp" "$work/server" -Werror $only
}

# Prints the cases that are green.
green() { # green PROGRAM CASE…
  play "$@" | sed -nE 's/^(PASS|LIMIT|INFO)  ?([A-Z]+-[0-9]+) .*/\2/p'
}

judge() {
  # shellcheck disable=SC2046
  [ -z "$(field Cases "$patch")" ] || was=$(green "$work/before" $(field Cases "$patch"))
  # shellcheck disable=SC2046
  is=$(green "$work/server" $(field Cases "$patch") $(field Keeps "$patch") $(field Red "$patch"))
  for case in $(field Red "$patch"); do
    case " $(echo "$is" | tr '\n' ' ') " in *" $case "*) wrong "$case is green after it" ;; esac
  done
  for case in $(field Cases "$patch"); do
    case " $(echo "$was" | tr '\n' ' ') " in *" $case "*) wrong "$case is green before it" ;; esac
  done
  for case in $(field Cases "$patch") $(field Keeps "$patch"); do
    case " $(echo "$is" | tr '\n' ' ') " in *" $case "*) ;; *) wrong "$case is not green after it" ;; esac
  done
}

walk() {
  cp "$(base_of "$steps")" "$work/server.cpp"
  last=$(find "$steps" -name '*.patch' | wc -l)
  number=0
  make || wrong 'the sketch does not compile'
  while [ "$number" -lt "$last" ]; do
    number=$((number + 1))
    patch=$(ls "$steps/$number"-*.patch) || { wrong 'is not there' && return; }
    for name in Step Hurts Know Hint; do
      [ -n "$(field $name "$patch")" ] || wrong "its head has no $name"
    done
    [ -n "$(field Cases "$patch")$(field Keeps "$patch")$(field Red "$patch")" ] || wrong 'its head has neither Cases nor Keeps nor Red'
    case $steps in # the text's table of them
    */steps)
      grep -qF "| [$number](${patch#*/}) | $(field Step "$patch") |" "$chapter/README.md" || wrong 'is not in the table of section 7'
      ;;
    esac
    changed=$(sed '1,/^@@/d' "$patch" | grep -c '^[+-]')
    [ "$changed" -le $most ] || wrong "$changed changed lines, and $most are the most"
    [ -z "$judges" ] || cp "$work/server$exe" "$work/before$exe"
    patch -s --fuzz=0 "$work/server.cpp" "$patch" || { wrong 'does not apply' && return; }
    make || { wrong 'does not compile' && return; }
    [ -z "$judges" ] || judge
  done
  case $steps in
  */steps) cmp "$work/server.cpp" "$chapter/server.cpp" || wrong 'the last one does not lead to server.cpp' ;;
  */attempts) cmp "$work/server.cpp" "$chapter/sketch.cpp" || wrong 'the last one does not lead to sketch.cpp' ;;
  esac
  echo "$steps: $last"
}

for steps in $(all_steps); do
  chapter=${steps%/*}
  exe=
  case $chapter in 04_*) exe=.exe ;; esac
  case " ${*:-${chapter%%_*}} " in *" ${chapter%%_*} "*) walk ;; esac
done
exit $status
