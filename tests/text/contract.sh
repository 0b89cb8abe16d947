#!/bin/sh
# The table of docs/contract.md is true: each test that it names exists, and runs on the rungs that stand at the head of
# its column; and on each rung there is one for each point. Prints where that is not so.
#
#   tests/text/contract.sh
set -u
export LC_ALL=C
cd "$(dirname "$0")/../.." || exit 1
suite=tests/conformance/CMakeLists.txt

# The tests that there are, a line each: "04 CLOSE-02", "04 contract 6", and without a rung "- strand:".
tests() {
  families=$(sed -n 's/^set(families \(.*\))/\1/p' "$suite")
  for rung in 0[0-9]_*; do
    echo "${rung%%_*} itself"
    if grep -q "^ *contract_test($rung)" tests/contract/CMakeLists.txt; then
      sed -n "s/.*\"\(contract [0-9a-z]*\): .*/${rung%%_*} \1/p" tests/contract/*_test.cpp
    fi
    if grep -q "^foreach(model.*[ (]${rung}[ )]" "$suite"; then
      for family in $families; do
        sed -n "s/^ *TEST_CASE(\"\($family-[0-9][0-9]\) .*/${rung%%_*} \1/p" tests/conformance/*.cpp
      done
    fi
  done
  sed -n 's/.*"\([a-z_]*:\) .*/- \1/p' tests/unit/*_test.cpp
  sed -n 's/^ *model_test(\([a-z]*\) .*/- model.\1/p' tests/model/CMakeLists.txt
}

tests | sort -u | awk '
  FILENAME == "-" { runs[$1, substr($0, index($0, " ") + 1)]; rungs[$1]; next }
  /^## [0-9]+\. / { points[$2 + 0] }
  !/^\|/ { table = 0; next }
  /^\| point \|/ { table = 1; columns = split($0, heads, "|"); next }
  !table || /^\|-/ { next }
  {
    split($0, cells, "|")
    gsub(/ /, "", cells[2])
    for (i = 3; i < columns; i++) {
      count = split(cells[i], names, ",")
      for (n = 1; n <= count; n++) hold(cells[2], heads[i], names[n])
    }
  }
  function wrong(message) { print "docs/contract.md: " message; failed = 1 }
  # `name` holds the point on each rung of the column whose head is given; "BP-01 to BP-08" are eight.
  function hold(point, head, name,   at, last, i) {
    gsub(/^ *`?|`? *$/, "", name)
    if (name == "" || name == "–") return
    if (name ~ / to /) {
      last = substr(name, length(name) - 1) + 0
      for (i = substr(name, index(name, "-") + 1, 2) + 0; i <= last; i++)
        hold(point, head, substr(name, 1, index(name, "-")) sprintf("%02d", i))
      return
    }
    if (!match(head, /0[0-9]/) && !(("-", name) in runs)) wrong("point " point ": there is no " name)
    for (; match(head, /0[0-9]/); head = substr(head, RSTART + 2)) {
      at = substr(head, RSTART, 2)
      if (!((at, name) in runs)) wrong("point " point ": no " name " runs on " at)
      else held[point, at]
    }
  }
  END {
    for (point in points)
      for (rung in rungs)
        if (rung != "-" && !((point, rung) in held)) wrong("point " point " has no test on " rung)
    if (length(points) == 0 || failed) exit 1
  }' - docs/contract.md
