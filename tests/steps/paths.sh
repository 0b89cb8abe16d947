# shellcheck shell=sh disable=SC2154 # $steps and $chapter are set by those who source it
# What ./learn and the tests of the steps share; to be sourced in the project's root. Most of it speaks of $steps, a folder such
# as 03_select/steps, and of $chapter, such as 03_select.

suite=build/linux/bin/conformance

# all_steps: the folders of patches that lead from one program to another.
all_steps() {
  for each in 0[1-9]_*/steps 0[1-9]_*/mirror 0[1-9]_*/attempts; do
    [ ! -d "$each" ] || echo "$each"
  done
}

# base_of STEPS: the program that they begin with.
base_of() {
  case $1 in
  */attempts) echo 02_thread_per_conn/sketch.cpp ;;
  05_*) echo "${1%/*}/sketch_pool.cpp" ;;
  *) echo "${1%/*}/sketch.cpp" ;;
  esac
}

# field NAME PATCH: of a patch's head, each line of that name, with those that go on with it.
field() {
  awk -v name="$1: " '/^--- / { exit } index($0, name) == 1 { on = 1; print substr($0, length(name) + 1); next }
    /^[A-Z][a-z]*: / || /^$/ { on = 0 } on { sub(/^  /, ""); print }' "$2"
}

# have_compiler: for a program of $chapter.
# compile FILE PROGRAM [FLAG…]: for Windows it makes PROGRAM.exe.
have_compiler() {
  case $chapter in 04_*) command -v x86_64-w64-mingw32-g++-posix >/dev/null 2>&1 ;; esac
}
compile() {
  from=$1 to=$2
  shift 2
  case $chapter in
  04_*) x86_64-w64-mingw32-g++-posix -std=c++20 -O1 -Wall -Wextra "$@" -static "$from" -o "$to.exe" -lws2_32 -lmswsock ;;
  *) ${CXX:-c++} -std=c++20 -O1 -Wall -Wextra "$@" -pthread "$from" -o "$to" ;;
  esac
}

# command_of PROGRAM: the words that run a program of $chapter.
command_of() { case $chapter in 04_*) echo "cmake/wine.sh $1.exe" ;; *) echo "$1" ;; esac; }

# play PROGRAM CASE…: what the suite says of it. A sketch takes a port and nothing else: it is judged as others' servers are.
play() {
  program=$1
  shift
  case $program in /*) ;; *) program=$PWD/$program ;; esac
  words="\"$program\""
  case $chapter in 04_*) words="cmake/wine.sh \"$program.exe\"" ;; esac
  service=
  case $steps,$program in
  */mirror,*) words="$words {port}" service='--service mirror' ;;
  */attempts,* | *,*/sketch | *,*/sketch_pool) words="$words {port}" ;;
  esac
  # shellcheck disable=SC2086
  $suite --server "$words" $service -tc="$(printf '%s*,' "$@" | sed 's/,$//')" 2>&1
}
