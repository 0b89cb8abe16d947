#!/bin/sh
# The outputs in a text are real: each block behind <!-- output --> begins with a command, "$ …", and goes on with what it
# says. Runs the command and prints where that is not so.
#
#   tests/text/outputs.sh FILE.md
#
# A command may have a document with it, from <<'EOF' to a line EOF.
# A line "…" stands for any lines. Numbers may differ, but not those in the names of cases; so may the width of a gap.
set -u
export LC_ALL=C
cd "$(dirname "$0")/../.." || exit 1
# The suite's words are those of one that has a network of its own.
unshare --net true 2>/dev/null || unshare --user --net true 2>/dev/null || { echo 'no network of our own' && exit 77; }
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
failed=0

awk -v folder="$scratch" '
  /^<!-- output -->$/ { mark = NR; next }
  /^```/ { inside = mark && mark == NR - 1; next }
  inside && document { print > (name ".command"); document = $0 != "EOF"; next }
  inside && sub(/^\$ /, "") {
    name = folder "/" ++blocks
    document = /<<.EOF/
    print > (name ".command")
    printf "" > (name ".said")
    next
  }
  inside { print > (name ".said") }' "$1"

# What may differ, made alike. A Windows program ends its lines in its own way.
alike() { tr -d '\r' <"$1" | sed -e 's/\([ +]\)[0-9][0-9.]*/\1N/g' -e 's/  */ /g' -e 's/ $//'; }

for command in "$scratch"/*.command; do
  [ -e "$command" ] || { echo "$1: no block is marked <!-- output -->"; exit 1; }
  block=${command%.command}
  sh "$command" >"$block.real" 2>&1
  alike "$block.said" >"$block.expected"
  alike "$block.real" >"$block.actual"
  if ! awk '
      NR == FNR { expected[++lines] = $0; next }
      { while (expected[at + 1] == "…") { any = 1; at++ } }
      $0 == expected[at + 1] { at++; any = 0; next }
      !any { print "not in the text: " $0; exit wrong = 1 }
      END {
        while (expected[at + 1] == "…") at++
        if (!wrong && at < lines) { print "not said: " expected[at + 1]; wrong = 1 }
        exit wrong
      }' "$block.expected" "$block.actual" >"$block.wrong"; then
    echo "$1: this is not what the command says: $(cat "$command")"
    cat "$block.wrong" "$block.real"
    failed=1
  fi
done
exit $failed
