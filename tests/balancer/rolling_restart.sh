#!/bin/sh
# Two servers behind HAProxy, as docs/past_one_machine.md has them. Each is taken out, ended and started anew, while clients
# come and go all the time: each of them must be served to its end.
#
#   tests/balancer/rolling_restart.sh BIN [ROUNDS]     BIN: the folder with 05_epoll and client
#
# Exit 77: there is no haproxy or no socat here.
set -u
bin=$(realpath "$1")
rounds=${2:-2}
config=$(realpath "$(dirname "$0")/../../docs/haproxy.cfg")
for tool in haproxy socat; do
  command -v $tool >/dev/null || { echo "no $tool here" && exit 77; }
done

LADDER_RUN=$(mktemp -d) || exit 1
export LADDER_RUN LADDER_FRONT LADDER_A LADDER_B
cd "$LADDER_RUN" || exit 1
a=
b=
front= # for a moment
balancer=
load=
cleanup() {
  for process in $load $balancer $front $a $b; do
    kill -KILL "$process" 2>/dev/null
  done
  rm -rf "$LADDER_RUN"
}
trap cleanup EXIT

fail() {
  echo "rolling_restart: $*"
  cat ./*.log
  exit 1
}

# eventually COMMAND…: until it succeeds, for 20 s at the most.
eventually() {
  tries=200
  until "$@"; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || fail "not within 20 s: $*"
    sleep 0.1
  done
}

# start NAME PORT: sets its process and its port. Port 0: any.
start() {
  : >"$1.log"
  "$bin/05_epoll" --port "$2" --stats >"$1.log" 2>&1 &
  eval "$1=$!"
  eventually grep -q READY "$1.log"
  port=$(sed -n 's/.* port=\([0-9]*\).*/\1/p' "$1.log")
}

stop() { kill -TERM "$1" && wait "$1"; } # in order, and with status 0

haproxy_says() { echo "$1" | socat stdio "unix-connect:$LADDER_RUN/haproxy.sock"; }
# field NAME COLUMN: of HAProxy's table (its documentation, 9.1: 5 is the sessions now, 18 the state, 8 the sessions ever).
field() { haproxy_says 'show stat' | awk -F , -v name="$1" -v column="$2" '$1 == "rungs" && $2 == name { print $column }'; }
is_up() { [ "$(field "$1" 18)" = UP ]; }
has_nobody() { [ "$(field "$1" 5)" = 0 ]; }
serves() { [ "$(field "$1" 8)" -gt "$2" ]; }

clients_come_and_go() {
  while [ ! -e enough ]; do
    "$bin/client" load "127.0.0.1:$LADDER_FRONT" --connections 20 --messages 20 >load.log 2>&1 || {
      cp load.log failed.log
      return 1
    }
    echo . >>runs
  done
}

restart() { # NAME PORT
  before=$(field "$1" 8)
  eventually serves "$1" "$before" # the clients are with it, too
  haproxy_says "set server rungs/$1 state drain" >/dev/null
  eventually has_nobody "$1"
  eval "process=\$$1"
  stop "$process" || fail "$1 did not end in order"
  start "$1" "$2"
  haproxy_says "set server rungs/$1 state ready" >/dev/null
  eventually is_up "$1"
  [ ! -e failed.log ] || fail "a client was not served while $1 was restarted"
}

start a 0
LADDER_A=$port
start b 0
LADDER_B=$port
start front 0 # a port that is free
LADDER_FRONT=$port
stop "$front"
front=
haproxy -db -f "$config" >haproxy.log 2>&1 &
balancer=$!
eventually [ -S haproxy.sock ]
eventually is_up a
eventually is_up b
clients_come_and_go &
load=$!
round=0
while [ $round -lt "$rounds" ]; do
  restart a "$LADDER_A"
  restart b "$LADDER_B"
  round=$((round + 1))
done
touch enough
wait "$load" || fail 'a client was not served'
load=
echo "$(wc -l <runs) runs of 20 clients with 20 messages each, during $((2 * rounds)) restarts: all served"
