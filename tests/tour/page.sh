#!/bin/sh
# The page that ./tour --html writes: each figure stands in it, a program without one says so, and nothing of a text is markup.
set -u
cd "$(dirname "$0")/../.." || exit 2

page=$(mktemp) || exit 2
trap 'rm -f "$page"' EXIT
status=0
has() { # has COUNT TEXT
  [ "$(grep -o -F -e "$2" "$page" | wc -l)" = "$1" ] && return
  echo "expected $1 times: $2"
  status=1
}

{
  printf '01_blocking\twaits\t1\t6000\t3\t\t69042\t35\t-\tbreaks at 1 of 6000 <one thread & no more>\n'
  printf '03_select\tanswered\t1017\t6000\t2\t181\t84205\t10190\t9.1\tbreaks at 1017 of 6000\n'
  printf '03_select_server\tanswered\t1018\t6000\t1\t213\t101967\t4538\t-\tbreaks at 1018 of 6000\n'
} | awk -f cmake/tour.awk -v machine='2 cores' -v idle=900 -v busy=10 >"$page" || status=1
has 6 '<svg '
has 6 '</svg>'
has 1 '<td>1017 of 6000'
has 1 '>1 017</text>' # a count: all of its digits
has 1 '>84 200</text>'
has 1 '>9.1 ×</text>'
has 3 'no figure' # the memory of 01, what idle clients cost it and what they cost 03_select_server
has 10 'class="backend"'
has 5 'class="server"'
has 1 '&lt;one thread &amp; no more>'

# ./tour refuses arguments that it does not understand, before it writes anything.
refused() { # refused TEXT ARGUMENT…
  text=$1
  shift
  ./tour "$@" >/dev/null 2>"$page.error"
  [ $? = 2 ] && grep -q -F -e "$text" "$page.error" || { echo "./tour $*: expected status 2 and: $text" && status=1; }
  rm -f "$page.error"
}
refused 'takes the name of a file' --html
refused "no rung '09'" --html "$page.none" 09
[ ! -e "$page.none" ] || { echo 'a page was written for a rung that is not there' && status=1; }
exit $status
