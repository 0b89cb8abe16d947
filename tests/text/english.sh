#!/bin/sh
# Texts, comments, messages and names of tests are plain English: none of the constructions of english.txt is in them.
# Prints the sentences that have one. A file of english_todo.txt may have as many as stand there beside its name, and not
# fewer: that list may only shrink.
#
#   tests/text/english.sh             all files
#   tests/text/english.sh FILE...     those, whatever the list says
#   tests/text/english.sh --update    takes from the list what has been mended since
set -u
export LC_ALL=C
update=
case ${1-} in
--update)
  update=yes
  shift
  ;;
-*)
  sed -n '2,8s/^# \{0,1\}//p' "$0"
  [ "$1" = --help ]
  exit
  ;;
esac
if [ $# -gt 0 ]; then
  exec awk -v constructions="$(dirname "$0")/english.txt" -f "$(dirname "$0")/english.awk" "$@"
fi
cd "$(dirname "$0")/../.." || exit 1
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
list=tests/text/english_todo.txt

# Each construction finds its own samples, and spares the good ones.
awk -v constructions=tests/text/english.txt -v self_test=1 -f tests/text/english.awk /dev/null || exit 1

find . \( -name '.?*' ! -name .ci -o -name build -o -path ./exercises -o -name corpus -o -name node_modules \) -prune -o -type f \
  ! -name '*.png' ! -name '*.svg' ! -name '*.json' ! -name '*.dict' ! -name LICENSE ! -name 'english*' -print |
  sed 's|^\./||' | sort >"$scratch/files"
# shellcheck disable=SC2046  # no path of ours has a space
awk -v constructions=tests/text/english.txt -f tests/text/english.awk $(cat "$scratch/files") >"$scratch/found"

cut -d: -f1 "$scratch/found" | sort | uniq -c | awk '{ print $1, $2 }' >"$scratch/counts"
if [ -n "$update" ]; then
  awk 'NR == FNR { now[$2] = $1; next } /^#/ { print; next }
    $2 in now { print (now[$2] < $1 ? now[$2] : $1), $2 }' "$scratch/counts" "$list" >"$scratch/list" &&
    cat "$scratch/list" >"$list"
fi
awk -v found="$scratch/found" '
  NR == FNR { now[$2] = $1; next }
  /^#/ { next }
  { may[$2] = $1 }
  END {
    for (file in now)
      if (now[file] > may[file]) {
        failed = worse[file] = 1
      }
    while ((getline line < found) > 0) {
      file = line
      sub(/:.*/, "", file)
      if (file in worse) print line
    }
    for (file in may)
      if (now[file] + 0 < may[file]) {
        print file ": fewer than english_todo.txt says: tests/text/english.sh --update takes them off it"
        failed = 1
      }
    exit failed
  }' "$scratch/counts" "$list"
status=$?
echo "$(wc -l <"$scratch/files") files, $(wc -l <"$scratch/found") sentences to mend in $(wc -l <"$scratch/counts") of them"
exit $status
