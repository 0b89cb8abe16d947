#!/bin/sh
# Counts what a message costs a server, and compares it with what was recorded: counts hardly vary, times do.
#
#   tests/bench/counts.sh FOLDER             of the programs, built as Release; fails if a count is more than 5 % above its
#                                            record in counts.txt
#   tests/bench/counts.sh --record FOLDER    prints a new counts.txt
#   tests/bench/counts.sh --steps FOLDER     prints, as a table in Markdown, what each step costs from a chapter's sketch over
#                                            its self-contained server to the library's
#
# instructions   in user space a message, libraries included (callgrind)
# calls          of the system a message, those that wait left out: how often a server waits depends on how much comes at once
# bytes          resident memory of each of 6000 held connections
#
# The first two are the difference between a long run and a short one, so that start and end drop out.
set -u
cd "$(dirname "$0")/../.." || exit 1
here=tests/bench
mode=compare
case ${1-} in
--record | --steps)
  mode=${1#--}
  shift
  ;;
esac
bin=${1-}
[ -x "$bin/client" ] || {
  sed -n '2,15s/^# \{0,1\}//p' "$0" >&2
  exit 2
}
for tool in valgrind strace; do
  command -v $tool >/dev/null 2>&1 || {
    echo "counts: nothing is counted: $tool is missing"
    exit 77
  }
done
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT

# served TOOL-AND-SERVER -- CLIENT-ARGUMENTS: the client's run against a server that runs under a tool. Neither may take
# longer than a minute or two.
served() {
  rm -f "$folder/ready"
  : >"$folder/ready"
  tool_and_server=
  while [ "$1" != -- ]; do
    tool_and_server="$tool_and_server $1"
    shift
  done
  shift
  # shellcheck disable=SC2086
  timeout -k 5 120 $tool_and_server >"$folder/ready" 2>"$folder/log" &
  server=$!
  until grep -qs -E 'READY|listening' "$folder/ready"; do # the second is a sketch's word
    kill -0 $server 2>/dev/null || {
      echo "counts: the server has ended:" >&2
      cat "$folder/log" >&2
      return 1
    }
    sleep 0.05
  done
  pid=$server # of timeout; the server is below it, and below strace
  while child=$(pgrep -P "$pid"); do pid=$child; done
  port=$(sed -n 's/.* port=\([0-9]*\).*/\1/p; s/.*127\.0\.0\.1:\([0-9]*\).*/\1/p' "$folder/ready")
  before=$(awk '/VmRSS/ { print $2 }' "/proc/$pid/status")
  timeout 120 "$bin/client" "$1" "127.0.0.1:$port" --json --timeout 60 $2 >"$folder/report" || {
    cat "$folder/report" >&2
    kill -TERM "$pid"
    wait $server
    return 1
  }
  after=$(awk '/VmHWM/ { print $2 }' "/proc/$pid/status")
  kill -TERM "$pid"
  { wait $server; } 2>/dev/null # the shell would say that a signal has ended it
  case $? in
  0 | 143) ;; # a sketch does not catch the signal
  *) return 1 ;;
  esac
}

instructions() { # of a run
  served valgrind --tool=callgrind "--callgrind-out-file=$folder/profile" "$@" || return 1
  awk '/^(summary|totals):/ { print $2; exit }' "$folder/profile"
}
waits='epoll_wait,epoll_pwait,epoll_pwait2,select,pselect6,poll,ppoll,futex'
calls() {
  served strace -f --seccomp-bpf -c -U calls,name -o "$folder/profile" -e "trace=!$waits" "$@" || return 1
  awk '$2 == "total" { print $1 }' "$folder/profile"
}
bytes() { # CONNECTIONS SERVER
  held=$1
  shift
  served "$@" -- hold "--connections $held --for 0" || return 1
  echo $(((after - before) * 1024 / held))
}

# a_message COUNT SERVER LOAD CONNECTIONS FEW MANY: messages on each connection
a_message() {
  few=$($1 $2 -- load "$3 --connections $4 --messages $5") || return 1
  many=$($1 $2 -- load "$3 --connections $4 --messages $6") || return 1
  awk -v few="$few" -v many="$many" -v messages=$(($4 * ($6 - $5))) 'BEGIN { printf "%.3f\n", (many - few) / messages }'
}

measure() {
  shared="$bin/05_epoll --threads 1"
  alone="$shared --queue per-worker"
  for what in instructions calls; do
    echo "05-shared a $what $(a_message $what "$shared" '--size 64' 100 40 240)"
    echo "05-per-worker a $what $(a_message $what "$alone" '--size 64' 100 40 240)"
    echo "05-shared d $what $(a_message $what "$shared" '--size 64 --depth 16' 50 320 1920)"
    echo "03 a $what $(a_message $what "$bin/03_select" '--size 64' 100 40 240)"
    echo "02 a $what $(a_message $what "$bin/02_thread_per_conn" '--size 64' 20 200 1200)"
  done
  echo "05-shared f bytes $(bytes 6000 $shared)"
  echo "05-per-worker f bytes $(bytes 6000 $alone)"
}

made_with() { echo "$(c++ --version | head -n 1); $(getconf GNU_LIBC_VERSION)"; }

# step NAME FILE SERVER CONNECTIONS FEW MANY HELD: a row; held: so many connections, if it can hold more than one
step() {
  instructions=$(a_message instructions "$3" '--size 64' $4 $5 $6) && calls=$(a_message calls "$3" '--size 64' $4 $5 $6) || return 1
  bytes=–
  [ $7 = 1 ] || bytes=$(bytes $7 $3) || return 1
  printf '| %s | %s | %.0f | %.2f | %s |\n' "$1" "$(wc -l <"$2")" "$instructions" "$calls" "$bytes"
}
steps() {
  echo '| | lines | instructions a message | system calls a message | bytes a connection |'
  echo '|---|---|---|---|---|'
  for chapter in 01_blocking 02_thread_per_conn 03_select 05_epoll; do
    options=
    case $chapter in
    01*) some='1 4000 24000 1' ;;
    02*) some='20 200 1200 6000' ;;
    03*) some='100 40 240 1000' ;;
    05*) some='100 40 240 6000' options='--threads 1' ;;
    esac
    for file in sketch sketch_pool server backend; do
      program=$bin/${chapter}_$file
      case $file in
      sketch*) server="$program 0" ;; # any port
      server) server=$program ;;
      backend) program=$bin/$chapter server="$bin/$chapter $options" ;;
      esac
      [ ! -x "$program" ] || step "${chapter%%_*} $file" "$chapter/$file.cpp" "$server" $some || return 1
    done
  done
}

case $mode in
record)
  echo "# $(made_with)"
  measure
  exit
  ;;
steps)
  steps
  exit
  ;;
esac
same=yes
recorded_with=$(sed -n '1s/^# //p' $here/counts.txt)
[ "$(made_with)" = "$recorded_with" ] || {
  same=
  echo "counts: instructions are not compared: they were recorded with $recorded_with"
}
measure >"$folder/counts"
awk -v same="$same" '
  NR == FNR { if ($1 != "#") recorded[$1 " " $2 " " $3] = $4; next }
  { key = $1 " " $2 " " $3; seen[key] }
  NF != 4 { print "counts: " $0 ": not to be had"; worse = 1; next }
  !(key in recorded) { print "counts: " key ": " $4 ", and none is recorded"; worse = 1; next }
  $3 == "instructions" && !same { next }
  $4 > recorded[key] * 1.05 { print "counts: " key ": " $4 ", recorded are " recorded[key]; worse = 1; next }
  { print "counts: " key ": " $4 " (" recorded[key] ")" }
  END {
    for (key in recorded) if (!(key in seen)) { print "counts: " key ": not counted"; worse = 1 }
    exit worse
  }' $here/counts.txt "$folder/counts"
