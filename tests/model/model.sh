#!/bin/sh
# A model, searched exhaustively by spin: it holds, each line of it is reached, and the two faults that can be built into
# it are found, each by what is to find it.
#
#   tests/model/model.sh MODEL.pml FINDS-1 FINDS-2
#
# FINDS: what the verifier says of the model with that fault, such as 'acceptance cycle' (the claim does not hold).
set -u
export LC_ALL=C
model=$(realpath "$1")
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1
failed=0

wrong() {
  echo "$(basename "$model"): $1"
  failed=1
}

# search FAULT safety|claim: in two searches, since a claim turns off the look for threads that wait for ever.
search() {
  case $2 in
  safety) compile='-DSAFETY -DNOCLAIM' run= ;;
  claim) compile=-DNOFAIR run=-a ;;
  esac
  # -o3: each statement is a state of its own. 2 GiB are the most.
  # shellcheck disable=SC2086  # words
  spin -o3 -a "-DFAULT=$1" "$model" >spin.log 2>&1 && cc -O2 -w $compile -DMEMLIM=2048 -o pan pan.c &&
    ./pan -m100000 $run >pan.log || {
    wrong "no verifier for fault $1, $2"
    cat spin.log pan.log
  }
}

holds() {
  search 0 "$1"
  echo "$1: $(sed -n 's/^ *\([0-9]*\) states, stored.*/\1 states/p; s/^pan: elapsed time \(.*\)/\1/p' pan.log | tr '\n' ' ')"
  grep -q 'errors: 0$' pan.log && ! grep -qE 'not completed|too small|MEMLIM' pan.log || {
    wrong "$1 does not hold, or was not searched to its end"
    cat pan.log
    spin -t -p -k "$(basename "$model").trail" "$model"
  }
}

# A line may stand for several states, one for each place where an inline is used: one of them must be reached.
each_line_is_reached() {
  ./pan -d >transitions
  awk -v model="$(basename "$model")" '
    /^(unreached in )?(proctype|init|claim)/ { where = $NF }
    { at = match($0, "/" model ":[0-9]+") ? substr($0, RSTART + length(model) + 2, RLENGTH - length(model) - 2) : 0 }
    FILENAME == "transitions" && $1 == "state" && at && !/-end-/ { if (!seen[where, $2]++) states[at]++ }
    FILENAME == "pan.log" && at && !/"-end-"/ { split($3, state, ","); if (!left[where, state[1]]++) unreached[at]++ }
    END {
      for (line in states)
        if (unreached[line] >= states[line]) { print model ":" line ": reached by no run"; missed++ }
        else reached++
      printf "%d lines are reached\n", reached
      exit missed > 0 || reached == 0
    }' transitions pan.log || failed=1
}

finds() { # FAULT PATTERN
  case $2 in
  *cycle*) search "$1" claim ;;
  *) search "$1" safety ;;
  esac
  said=$(grep '^pan:1:' pan.log)
  echo "fault $1: $said"
  case $said in
  *"$2"*) ;;
  *) wrong "fault $1 was not found by: $2" ;;
  esac
}

holds safety
each_line_is_reached
holds claim
finds 1 "$2"
finds 2 "$3"
exit $failed
