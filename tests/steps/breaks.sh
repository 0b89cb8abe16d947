#!/bin/sh
# Each chapter's breaks are what its section 9 lists: every patch applies to the sketch and compiles, and where it names
# cases, the sketch must have none of them among its known failures.
#
#   tests/steps/breaks.sh             all chapters
#   tests/steps/breaks.sh --judge     and plays each break with ./learn: its cases are red, and green for the sketch as it is
#   tests/steps/breaks.sh 03 05.4     those; --judge comes first
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
  sed -n '2,7s/^# \{0,1\}//p' "$0"
  [ "$1" = --help ]
  exit
  ;;
esac
asked=$*

mkdir -p build && work=$(mktemp -d build/breaks.XXXXXX) || exit 2 # in here: ./learn takes a folder of the project's
trap 'rm -rf "$work"' EXIT
trap 'exit 2' INT TERM
status=0
wrong() {
  echo "$1: $2"
  status=1
}

is_asked() { # is_asked 05 4: this one?
  case " ${asked:-$1} " in *" $1 "* | *" $1.$2 "*) ;; *) return 1 ;; esac
}
made() { # made FILE PROGRAM [FLAG…]; warnings are allowed
  ! have_compiler || compile "$@" >"$work/compiler.log" 2>&1 || { cat "$work/compiler.log" && return 1; }
}

check_patch() { # check_patch ID PATCH; appends its cases to the list of its sketch's
  sketch=$(sed -n 's/^--- //p' "$2")
  for name in Break Ask Why; do
    [ -n "$(field $name "$2")" ] || wrong "$1" "its head has no $name"
  done
  [ "$(field Break "$2" | wc -l)" = 1 ] || wrong "$1" 'Break is more than a line'
  cp "$chapter/$sketch" "$work/broken.cpp" || exit 2
  patch -s --fuzz=0 "$work/broken.cpp" "$2" || { wrong "$1" 'does not apply' && return; }
  made "$work/broken.cpp" "$work/broken" -fsyntax-only || { wrong "$1" 'does not compile' && return; }
  for case in $(field Cases "$2"); do
    grep -qh "TEST_CASE(\"$case " tests/conformance/*.cpp || wrong "$1" "the suite has no case $case"
    ! grep -q "^$case " "tests/conformance/expected/${chapter}_${sketch%.cpp}.txt" || wrong "$1" "$case is red for the sketch as it is"
    echo "$case" >>"$work/cases.${sketch%.cpp}"
  done
}

# As a reader plays it; there is no terminal, so nothing is asked.
play_break() { # play_break ID PATCH
  before=$status
  status=0
  LADDER_EXERCISES=$work ./learn break "$1" >"$work/played" </dev/null 2>&1 || wrong "$1" "./learn break ends with $?"
  for case in $(field Cases "$2"); do
    grep "^  red    $case " "$work/played" | grep -qv 'was not played' || wrong "$1" "$case is not red"
  done
  grep -qxF "$(field Why "$2" | head -n 1)" "$work/played" || wrong "$1" 'it is not explained'
  [ "$status" = 0 ] || cat "$work/played"
  [ "$before" = 0 ] || status=$before
  echo "$1 $(field Cases "$2")"
}

# All cases of a chapter's breaks on its sketches as they are.
judge_unbroken() {
  for list in "$work"/cases.*; do
    [ -e "$list" ] || continue
    sketch=${list##*/cases.}
    program=$work/$sketch
    made "$chapter/$sketch.cpp" "$program" || wrong "$chapter" "$sketch.cpp does not compile"
    # shellcheck disable=SC2046
    play "$program" $(sort -u "$list") >"$work/unbroken"
    sort -u "$list" | while read -r case; do
      grep -qE "^(PASS|INFO)  $case " "$work/unbroken" || echo "$case"
    done >"$work/red"
    [ ! -s "$work/red" ] || { cat "$work/unbroken" && wrong "$chapter" "not green for $sketch.cpp: $(tr '\n' ' ' <"$work/red")"; }
  done
}

steps=
for chapter in 0[1-9]_*; do
  [ -d "$chapter" ] || continue
  number=${chapter%%_*}
  rm -f "$work"/cases.*
  text=$(awk '/^## / { on = /^## 9 / } on && /^[0-9]+\. / { sub(/\..*/, ""); printf "%s ", $0 }' "$chapter/README.md")
  there=$(find "$chapter/breaks" -name '*.patch' 2>/dev/null | sed 's|.*/||; s/-.*//' | sort -n | tr '\n' ' ')
  [ "$text" = "$there" ] || wrong "$chapter" "section 9 of its text lists $text, and breaks/ has $there"
  for patch in "$chapter"/breaks/*.patch; do
    k=${patch##*/}
    k=${k%%-*}
    is_asked "$number" "$k" || continue
    check_patch "$number.$k" "$patch"
    [ -z "$judges" ] || play_break "$number.$k" "$patch"
  done
  [ -z "$judges" ] || judge_unbroken
done
exit $status
