#!/bin/sh
# What the texts say of the code is true. Prints what is not, a line each.
#
#   tests/text/text.sh EXECUTABLES      a file that names the build's programs, one a line
#
# 1 Excerpts, links, paths, programs and case ids in all *.md: text.awk.
# 2 The compiler line in the head of each program that stands alone compiles it, with no warning.
# 3 No file speaks of a place on somebody's own machine.
set -u
export LC_ALL=C
executables=$(realpath "$1")
cd "$(dirname "$0")/../.." || exit 1
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
failed=0

files() { find . \( -name .git -o -name build -o -path ./exercises \) -prune -o -type f "$@" -print | sort; }

sed -n 's/.*TEST_CASE("\([A-Z]*-[0-9][0-9]\) .*/\1/p' tests/conformance/*.cpp >"$scratch/cases"
# shellcheck disable=SC2046  # no path of ours has a space
awk -v executables="$executables" -v cases="$scratch/cases" -f tests/text/text.awk \
    $(files -name '*.md' | sed 's|^\./||') || failed=1

for sketch in [0-9]*/*.cpp common/client/sketch.cpp docs/more_models/*.cpp; do
  case $sketch in */backend.cpp) continue ;; esac
  if [ "$sketch" = docs/more_models/io_uring.cpp ] && ! echo '#include <liburing.h>' | g++ -E -x c++ - >/dev/null 2>&1; then
    echo "$sketch: not compiled, there is no liburing here"
    continue
  fi
  line=$(sed -n 's|^// *\(g++ .*\)|\1|p; s|^// *\(x86_64-w64-mingw32-g++-posix .*\)|\1|p' "$sketch" | sed 's/ *&&.*//')
  folder=.
  case $line in *" $sketch "*) ;; *) folder=$(dirname "$sketch") ;; esac
  compilers='g++ clang++'
  case $line in x86_64-w64-mingw32-*) compilers=x86_64-w64-mingw32-g++-posix ;; esac
  for compiler in $compilers; do
    if ! command -v "$compiler" >/dev/null; then
      echo "$sketch: not compiled with $compiler, which is not here"
      continue
    fi
    # .exe: MinGW adds it to a name that has none
    words=$(echo "$line" | sed "s|^[^ ]*g++[^ ]*|$compiler -Werror -Wall -Wextra|; s|-o [^ ]*|-o $scratch/program.exe|")
    if ! (cd "$folder" && sh -c "$words") >"$scratch/log" 2>&1 || ! [ -x "$scratch/program.exe" ]; then
      echo "$sketch: its own compiler line fails with $compiler: ${line:-there is none}"
      cat "$scratch/log"
      failed=1
    fi
    rm -f "$scratch/program.exe"
  done
done

# The brackets keep this line from finding itself.
if files ! -name '*.png' | xargs grep -nE '(^|[^A-Za-z0-9_.}*-])/([h]ome|[r]oot|[w]ork|[U]sers|[t]mp/[a-z])/' /dev/null; then
  echo "these name a place on one machine"
  failed=1
fi
exit $failed
