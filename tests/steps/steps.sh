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

field() { sed -n "/^---/q; s/^$1: *//p" "$patch"; }

compile() {
  only=
  [ -n "$judges" ] || only=-fsyntax-only
  # shellcheck disable=SC2086
  case $chapter in
  04_*)
    command -v x86_64-w64-mingw32-g++-posix >/dev/null 2>&1 || return 0
    x86_64-w64-mingw32-g++-posix -std=c++20 -O1 -Wall -Wextra -Werror $only -static server.cpp -o server -lws2_32 -lmswsock
    ;;
  *) c++ -std=c++20 -O1 -Wall -Wextra -Werror $only -pthread server.cpp -o server ;;
  esac
}

# Prints the cases that are green.
green() { # green PROGRAM CASE…
  program=$1
  shift
  command="\"$program\""
  case $chapter in 04_*) command="cmake/wine.sh \"$program.exe\"" ;; esac # MinGW has added .exe
  service=
  case $steps in
  */mirror) command="$command {port}" service='--service mirror' ;;
  */attempts) command="$command {port}" ;;
  esac
  # shellcheck disable=SC2086
  build/linux/bin/conformance --server "$command" $service -tc="$(printf '%s*,' "$@" | sed 's/,$//')" |
    sed -nE 's/^(PASS|LIMIT|INFO)  ?([A-Z]+-[0-9]+) .*/\2/p'
}

judge() {
  # shellcheck disable=SC2046
  [ -z "$(field Cases)" ] || was=$(green "$work/before" $(field Cases))
  # shellcheck disable=SC2046
  is=$(green "$work/server" $(field Cases) $(field Keeps) $(field Red))
  for case in $(field Red); do
    case " $(echo "$is" | tr '\n' ' ') " in *" $case "*) wrong "$case is green after it" ;; esac
  done
  for case in $(field Cases); do
    case " $(echo "$was" | tr '\n' ' ') " in *" $case "*) wrong "$case is green before it" ;; esac
  done
  for case in $(field Cases) $(field Keeps); do
    case " $(echo "$is" | tr '\n' ' ') " in *" $case "*) ;; *) wrong "$case is not green after it" ;; esac
  done
}

play() {
  case $steps in
  */attempts) sketch=02_thread_per_conn/sketch.cpp ;;
  05_*) sketch=$chapter/sketch_pool.cpp ;;
  *) sketch=$chapter/sketch.cpp ;;
  esac
  cp "$sketch" "$work/server.cpp"
  last=$(find "$steps" -name '*.patch' | wc -l)
  number=0
  (cd "$work" && compile) || wrong 'the sketch does not compile'
  while [ "$number" -lt "$last" ]; do
    number=$((number + 1))
    patch=$(ls "$steps/$number"-*.patch) || { wrong 'is not there' && return; }
    for name in Step Hurts Know Hint; do
      [ -n "$(field $name)" ] || wrong "its head has no $name"
    done
    [ -n "$(field Cases)$(field Keeps)$(field Red)" ] || wrong 'its head has neither Cases nor Keeps nor Red'
    case $steps in # the text's table of them
    */steps)
      grep -qF "| [$number](${patch#*/}) | $(field Step) |" "$chapter/README.md" || wrong 'is not in the table of section 7'
      ;;
    esac
    changed=$(sed '1,/^@@/d' "$patch" | grep -c '^[+-]')
    [ "$changed" -le $most ] || wrong "$changed changed lines, and $most are the most"
    if [ -n "$judges" ]; then
      exe=
      case $chapter in 04_*) exe=.exe ;; esac
      cp "$work/server$exe" "$work/before$exe"
    fi
    patch -s --fuzz=0 "$work/server.cpp" "$patch" || { wrong 'does not apply' && return; }
    (cd "$work" && compile) || { wrong 'does not compile' && return; }
    [ -z "$judges" ] || judge
  done
  case $steps in
  */steps) cmp "$work/server.cpp" "$chapter/server.cpp" || wrong 'the last one does not lead to server.cpp' ;;
  */attempts) cmp "$work/server.cpp" "$chapter/sketch.cpp" || wrong 'the last one does not lead to sketch.cpp' ;;
  esac
  echo "$steps: $last"
}

for steps in 0[1-9]_*/steps 0[1-9]_*/mirror 0[1-9]_*/attempts; do
  chapter=${steps%/*}
  case " ${*:-${chapter%%_*}} " in *" ${chapter%%_*} "*) play ;; esac
done
exit $status
