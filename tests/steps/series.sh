#!/bin/sh
# A chapter's steps as commits, so that one of them can be changed and the later ones follow.
#
#   tests/steps/series.sh unpack 03_select/steps FOLDER    a new repository: the sketch, then a commit a step
#   tests/steps/series.sh pack FOLDER 03_select/steps      writes the patches anew from its commits
#   tests/steps/series.sh check                            all that there are, there and back: nothing may differ
#
# In between, in FOLDER: git rebase -i --root, change server.cpp, git commit --amend, git rebase --continue. A commit's first
# line is the step's name, the rest is the head of its patch.
set -eu
cd "$(dirname "$0")/../.."
. tests/steps/paths.sh

unpack() { # unpack STEPS FOLDER
  mkdir "$2"
  git -C "$2" init -q
  git -C "$2" config user.name steps
  git -C "$2" config user.email steps@localhost
  cp "$(base_of "$1")" "$2/server.cpp"
  git -C "$2" add server.cpp
  git -C "$2" commit -q -m sketch
  for patch in $(find "$1" -name '*.patch' | sort -t / -k 3n); do
    patch -s --fuzz=0 "$2/server.cpp" "$patch"
    name=${patch##*/}
    name=${name#*-}
    { echo "${name%.patch}" && echo && sed '/^--- /,$d' "$patch"; } | git -C "$2" commit -q -a --cleanup=verbatim -F -
  done
}

pack() { # pack FOLDER STEPS
  rm -f "$2"/*.patch
  before='' number=0
  for commit in $(git -C "$1" log --reverse --format=%H); do
    if [ -n "$before" ]; then
      number=$((number + 1))
      patch=$2/$number-$(git -C "$1" log -1 --format=%s "$commit").patch
      git -C "$1" log -1 --format=%b "$commit" | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}' >"$patch"
      echo >>"$patch"
      git -C "$1" show "$before:server.cpp" >"$1/before"
      git -C "$1" show "$commit:server.cpp" | diff -u --label server.cpp --label server.cpp "$1/before" - >>"$patch" || [ $? = 1 ]
    fi
    before=$commit
  done
  rm -f "$1/before"
}

check() {
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  for steps in $(all_steps); do
    mkdir -p "$work/again/$steps"
    unpack "$steps" "$work/commits"
    pack "$work/commits" "$work/again/$steps"
    diff -r "$steps" "$work/again/$steps"
    rm -rf "$work/commits"
  done
}

case $#,${1-} in
1,check) check ;;
3,unpack) unpack "$2" "$3" ;;
3,pack) pack "$2" "$3" ;;
*)
  sed -n '2,9s/^# \{0,1\}//p' "$0"
  exit 2
  ;;
esac
