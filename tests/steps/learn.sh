#!/bin/sh
# ./learn as a reader meets it: what it says, with which status, and that nothing of theirs is lost.
set -u
cd "$(dirname "$0")/../.." || exit 2

LADDER_EXERCISES=$(mktemp -d) || exit 2
export LADDER_EXERCISES
trap 'rm -rf "$LADDER_EXERCISES"' EXIT
output=$LADDER_EXERCISES.txt
status=0

# expect STATUS TEXT [ARGUMENT…]: ./learn ends so, and says this.
expect() {
  wanted=$1
  text=$2
  shift 2
  ./learn "$@" >"$output" 2>&1 </dev/null
  ended=$?
  [ $ended = "$wanted" ] && grep -q -e "$text" "$output" && return
  echo "./learn $*: expected status $wanted and \"$text\", seen $ended:"
  cat "$output"
  status=1
}
take_solution() {
  ./learn solution >"$output" && patch -s "$LADDER_EXERCISES/$1/server.cpp" "$output" && return
  echo "the solution of $1 does not apply"
  status=1
}
same() { # same FILE FILE
  cmp "$1" "$2" || status=1
}

# Nothing begun, and what it does not understand.
expect 0 '^03 .* steps: '
expect 2 'no path has been begun' hint
expect 2 'no path has been begun' solution
expect 2 "no path '09'" 09
expect 2 'unknown argument' forward
expect 2 'too many arguments' hint 03 04
expect 0 './learn solution' --help

# A path, step by step.
file=$LADDER_EXERCISES/03/server.cpp
expect 0 'Step 1 of' 03
same "$file" 03_select/sketch.cpp
expect 1 '^Red' # the sketch has no READY
expect 0 'READY' hint
expect 0 'describe' hint
take_solution 03
cp "$file" "$output.kept"
expect 0 'Step 1 of' 03 # come back to: the file stays
same "$file" "$output.kept"
expect 0 'Step 2 of'
expect 0 '^03 .* step 2 of' list
expect 1 '^Red'
echo 'not C++' >>"$file"
expect 1 'error'
cp "$output.kept" "$file"

# A step that no case sees.
echo 5 >"$LADDER_EXERCISES/03/step"
cp "$file" "$LADDER_EXERCISES/03/after-4.cpp"
expect 1 'No case sees this step'
echo 99 >"$LADDER_EXERCISES/03/step"
expect 0 'You have written the server'

# Begun anew: what was written is kept.
expect 0 'Step 1 of' restart 03
same "$file.1" "$output.kept"
same "$file" 03_select/sketch.cpp

# An attempt is done when it fails as it should; a message is more than what one recv brings.
expect 0 'An attempt that fails' 03-attempts
expect 1 'not the attempt that fails'
take_solution 03-attempts
expect 0 'Red, as it should be'
expect 0 'Step 1 of 1' 02-mirror
expect 1 '^Red'
take_solution 02-mirror
expect 0 '^Green'

rm -f "$output" "$output.kept"
exit $status
