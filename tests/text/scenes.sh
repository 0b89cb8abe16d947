# shellcheck shell=sh disable=SC2154  # scratch is of outputs.sh
# The things that a text tells its reader to do in other terminals, as functions for outputs.sh. Each waits for its effect, and starts all processes by keep(), so that end_scene() ends them.

bin=build/linux/bin
kept=
keep() { kept="$kept $1"; }

end_scene() {
  for pid in $kept; do
    kill -TERM "-$pid" 2>/dev/null # its group
    wait "$pid" 2>/dev/null
  done
  kept=
  until_true port_is_free # Wine's server closes the sockets of a program that is gone
  exec 4>&- 5>&-
  rm -f "$scratch"/in.* "$scratch"/out.*
}

# until_true COMMAND...: tries again for as long as 20 s.
until_true() {
  give_up=$(($(date +%s) + 20))
  until "$@"; do
    [ "$(date +%s)" -lt "$give_up" ] || return 1
    sleep 0.05
  done
}

listens() { grep -q '^ *[0-9]*: [0-9A-F]*:1E61 00000000:0000 0A' /proc/net/tcp; } # 0x1E61: port 7777
port_is_free() { ! listens; }
await_listener() { until_true listens; }

server() { # server PROGRAM [OPTION]: on port 7777
  program=$1
  shift
  case $program in
  *.exe) set -- cmake/wine.sh "build/windows-cross/bin/$program" "$@" ;;
  *) set -- "$bin/$program" "$@" ;;
  esac
  setsid "$@" 7777 >"$scratch/out.server" 2>&1 4>&- 5>&- &
  keep $!
  await_listener
}

# A client of somebody's at a keyboard: `connect 1` opens it, `type_in 1 hello` types a line, `leave 1` is Ctrl-D.
connect() {
  mkfifo "$scratch/in.$1"
  setsid "$bin/client" talk 127.0.0.1:7777 <"$scratch/in.$1" >"$scratch/out.$1" 2>&1 4>&- 5>&- &
  keep $!
  case $1 in
  1) exec 4>"$scratch/in.1" ;;
  2) exec 5>"$scratch/in.2" ;;
  esac
}
type_in() {
  case $1 in
  1) echo "$2" >&4 ;;
  2) echo "$2" >&5 ;;
  esac
}
leave() {
  case $1 in
  1) exec 4>&- ;;
  2) exec 5>&- ;;
  esac
}
is_answered() { grep -qx "$2" "$scratch/out.$1"; }
waits_unread() { ss -tnH state established 'sport = :7777' | awk -v bytes="$1" '$1 == bytes { found = 1 } END { exit !found }'; }
owes() { ss -tnH state established 'sport = :7777' | awk '$2 > 1000000 { found = 1 } END { exit !found }'; }
is_over() { ! ss -tnH 'sport = :7777' | grep -q .; }

# Two clients: the first says a line and is answered, the second says another and stays.
first_speaks() { connect 1 && type_in 1 hello && until_true is_answered 1 hello; }
second_waits() { connect 2 && type_in 2 'anyone?' && until_true waits_unread 8; }
second_speaks() { connect 2 && type_in 2 'anyone?' && until_true is_answered 2 'anyone?'; }
both_leave() { leave 1 && leave 2 && until_true is_over; }

# 01: the second waits for the first
one_is_served() { server 01_blocking_sketch && first_speaks && second_waits; }
one_after_the_other() {
  first_speaks && second_waits && leave 1 && until_true is_answered 2 'anyone?' && leave 2
}
blocking_sketch() { server 01_blocking_sketch; }

# 02, 03, 05
two_are_served() { server 02_thread_per_conn_sketch && first_speaks && second_speaks; }
two_talk() { first_speaks && second_speaks && leave 1 && until_true connected 1 && leave 2; }
two_come() { first_speaks && second_speaks; }
connected() { [ "$(ss -tnH 'sport = :7777' | wc -l)" = "$1" ]; } # as long as the server has not closed it
one_never_reads() {
  setsid bash -c 'exec 3<>/dev/tcp/127.0.0.1/7777; yes >&3' >"$scratch/out.yes" 2>&1 &
  keep $!
  until_true owes
}
one_never_reads_from_threads() { server 02_thread_per_conn_sketch && one_never_reads; }
hold() { # hold CONNECTIONS: opens them, and keeps them until end_scene
  setsid "$bin/client" hold 127.0.0.1:7777 --connections "$1" --for 600 >"$scratch/out.hold" 2>&1 &
  keep $!
}
# Nobody acts before the pool has armed everybody: the next event could be told before epoll_ctl has returned.
is_armed() { grep -qE "^tfd: *$1 events: *40000019 " /proc/"$(pgrep 05_epoll)"/fdinfo/4; } # EPOLLIN, and the bits that are always there
two_talk_to_a_pool() {
  connect 1 && until_true is_armed 5 && type_in 1 hello && until_true is_answered 1 hello && until_true is_armed 5 &&
    connect 2 && until_true is_armed 6 && type_in 2 'anyone?' && until_true is_answered 2 'anyone?' && until_true is_armed 6 &&
    leave 1 && until_true connected 1 && leave 2
}
forty_clients() { hold 40; }
are_threads() { grep -q "^Threads:.*[^0-9]$1\$" /proc/"$(pgrep "$2")"/status; }
six_thousand_on_threads() { server 02_thread_per_conn_sketch && hold 6000 && until_true are_threads 6001 02_thread; }
six_thousand_on_epoll() { server 05_epoll_sketch && hold 6000 && until_true connected 6000 && are_threads 1 05_epoll; }
# It looks when all 1100 have spoken. A client that it closed before would see a FIN, not a reset.
select_sketch() {
  setsid sh -c "ulimit -n 4096; exec $bin/03_select_sketch 7777" >"$scratch/out.server" 2>&1 4>&- 5>&- &
  server_pid=$!
  keep $server_pid
  await_listener && kill -STOP $server_pid || return
  { until_true have_spoken 1100; kill -CONT $server_pid; } &
  keep $!
}
have_spoken() { [ "$(ss -tnH state established 'sport = :7777' | awk '$1 > 0' | wc -l)" = "$1" ]; }
nothing_more() { :; }

# 04
ports_sketch() { server 04_iocp_sketch.exe; }
one_comes_to_ports() { until_true all_workers_wait && connect 1; }
all_workers_wait() { [ "$(grep -c 'Call .*GetQueuedCompletionStatus' "$block.real")" = "$(nproc)" ]; }
one_never_reads_from_ports() { ports_sketch && one_never_reads; }
six_thousand_on_ports() { ports_sketch && hold 6000 && until_true connected 6000; }
six_thousand_on_the_library() { server 04_iocp.exe --port && hold 6000 && until_true connected 6000; }
