#!/bin/sh
# The outputs in a text are real. Runs each command that a text marks, and prints where it says something else.
#
#   tests/text/outputs.sh FILE.md ...
#
# A mark stands before the block with the command; the block after that, or the rest of the same one if the command
# begins with "$ ", shows its output.
#
#   <!-- output -->                 the command runs to its end
#   <!-- output beside SCENE -->    the same, after SCENE: a function of scenes.sh that starts servers and clients
#   <!-- output during SCENE -->    the command is a server: it runs, SCENE does what the text tells the reader to do
#                                   meanwhile, and it is ended as soon as all has been said
#   <!-- output … in any order -->  its lines may stand in any order
#
# A command may have a document with it, from <<'EOF' to a line EOF. In a shown output a line "…" stands for any lines. Numbers
# may differ, but not those in the names of cases; so may the width of a gap. A command that needs a tool which is not here is
# left out, and named.
set -u
export LC_ALL=C
cd "$(dirname "$0")/../.." || exit 1
# A network of its own: port 7777 is free, and the suite's words are those of one that has such a network. Processes of its
# own: pgrep finds no others. No descriptor but the standard ones: traces show the next as 3, as a terminal's shell has it.
if [ -z "${OUTPUTS_NETWORK-}" ]; then
  own='--net --pid --fork --kill-child --mount-proc'
  for how in "$own" "--user --map-root-user $own"; do
    # shellcheck disable=SC2086
    unshare $how ip link set lo up 2>/dev/null && OUTPUTS_NETWORK=own exec unshare $how python3 -c '
import os, sys
os.closerange(3, 4096)
os.execvp("sh", ["sh"] + sys.argv[1:])' tests/text/outputs.sh "$@"
  done
  echo 'no network of our own, or no processes of our own'
  exit 77
fi
ip link set lo up || exit 1
# Wine's server holds the sockets of Windows programs: one of our own too, or they are in another network.
export WINEPREFIX="$PWD/build/wine-text"
# shellcheck source=tests/text/scenes.sh
. tests/text/scenes.sh
scratch=$(mktemp -d) || exit 1
trap 'end_scene; rm -rf "$scratch"' EXIT
trap 'exit 1' INT TERM
failed=0

# Block 01 of the text: 01.how, 01.command, 01.said.
blocks_of() {
  awk -v folder="$scratch" '
    /^ *<!-- output( (beside|during) [a-z_0-9]+)?( in any order)? -->$/ {
      gsub(/^ *<!-- output *| *-->$/, "")
      name = sprintf("%s/%02d", folder, ++blocks)
      print > (name ".how")
      printf "" > (name ".said")
      mark = NR
      next
    }
    /^ *```/ && !fenced {
      fenced = 1
      indent = index($0, "`") - 1
      part = mark == NR - 1 ? "command" : part == "done" && closed == NR - 1 ? "said" : ""
      next
    }
    /^ *```/ {
      fenced = 0
      closed = NR
      part = part == "command" && !inline ? "done" : ""
      inline = 0
      next
    }
    !fenced && part != "done" { next }
    !fenced { part = ""; next }
    { line = substr($0, indent + 1) }
    document { print line > (name ".command"); document = line != "EOF"; next }
    part == "command" && line ~ /<<.EOF/ { document = 1 }
    part == "command" && sub(/^\$ /, "", line) { print line > (name ".command"); inline = 1; next }
    part == "command" && !inline { print line > (name ".command"); next }
    part != "" { print line > (name ".said") }' "$1"
}

# Makes alike what may differ. A Windows program ends its lines in its own way, and a server that spins never ends them. Whether
# strace names the thread of a process that has but one depends on when the next one starts.
alike() {
  head -c 65536 "$1" | tr -d '\r' | tr '\t' ' ' | sed -e 's/^[0-9][0-9]* /N /' -e 's/0x[0-9a-f]*/0/g' \
    -e 's/\([ +=]\)[0-9][0-9.]*/\1N/g' -e 's/:[0-9][0-9]*/:N/g' -e 's/  */ /g' -e 's/^ //' -e 's/ $//' \
    -e 's/Address:Port *Process$/Address:Port/' -e 's/+++ .* +++$//' -e 's/^\[pid N\] //' \
    -e 's/^[0-9a-f]\{4\}:/N:/' -e 's/([0-9a-f]\{8\}[0-9a-f,]*)/()/' # of ss, strace, Wine's relay
}

# same BLOCK: the real output is what the text shows; else its first line that is not.
same() {
  alike "$1.said" >"$1.expected"
  alike "$1.real" >"$1.actual"
  if grep -q 'in any order' "$1.how"; then
    for half in expected actual; do sort -o "$1.$half" "$1.$half"; done
  fi
  awk '
    NR == FNR { expected[++lines] = $0; next }
    { while (expected[at + 1] == "…") { any = 1; at++ } }
    at < lines && $0 == expected[at + 1] { at++; any = 0; next }
    !any { print "not in the text: " $0; exit wrong = 1 }
    END {
      while (expected[at + 1] == "…") at++
      if (!wrong && at < lines) { print "not said: " expected[at + 1]; wrong = 1 }
      exit wrong
    }' "$1.expected" "$1.actual" >"$1.wrong"
}

# play BLOCK: false if it says something else.
play() {
  read -r word scene _ <"$1.how" || word=
  case $word in
  during)
    # A group of its own, so that a signal reaches strace and its program alike.
    setsid sh -c "$(cat "$1.command")" >"$1.real" 2>&1 &
    keep $!
    await_listener && $scene
    until_true same "$1" || same "$1"
    ;;
  beside)
    $scene && sh -c "$(cat "$1.command")" >"$1.real" 2>&1
    same "$1"
    ;;
  *)
    sh -c "$(cat "$1.command")" >"$1.real" 2>&1
    same "$1"
    ;;
  esac
}

# Runs the blocks of one text.
check_text() {
  rm -f "$scratch"/*
  blocks_of "$1"
  played=0
  for command in "$scratch"/*.command; do
    [ -e "$command" ] || break
    block=${command%.command}
    missing=
    for tool in strace ss ps python3 perl wine; do
      ! grep -qw "$tool" "$command" || command -v "$tool" >/dev/null || missing=$tool
    done
    [ -z "$missing" ] || { echo "$1: not run, for want of $missing: $(cat "$command")" && continue; }
    played=$((played + 1))
    if ! play "$block"; then
      echo "$1: this is not what the command says: $(cat "$command")"
      cat "$block.wrong"
      head -c 65536 "$block.real"
      failed=1
    fi
    end_scene
  done
  [ -e "$scratch/01.command" ] || { echo "$1: no block is marked <!-- output -->" && failed=1; }
  echo "$1: $played commands run"
}

for text in "$@"; do check_text "$text"; done
exit $failed
