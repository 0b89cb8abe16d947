// The life of a connection on a completion port: 04_iocp/backend.cpp, and of server_base.cpp what it calls. One connection, one
// accept ahead, two workers, the timekeeper, a stop. An inline has the name of the function that it mirrors, and they stand
// in the order of the sources; the threads come last. README.md says what is proved, and what is left out.
//
// A call of the strand is one step (strand.pml looks inside), and so is what its holder does between two points at which
// others matter to it. The port is a set of packets: several workers take them, so their order promises nothing.
//
//   -DFAULT=1  close_connection() does not wait for what is under way
//   -DFAULT=2  arm() posts no packet for a receive that was done at once

#ifndef FAULT
#define FAULT 0
#endif

#define rounds_in_a_row 2  // server_base.h has 4

// Pending::events
#define readable 1
#define written 2
#define timer_event 4
// Pending::commands
#define stop_command 1
#define abort_command 2
// ConnectionState::Phase
#define none 0
#define open 1
#define closing 2
#define lingering 3
#define ended 4
// ServerBase::Stage
#define serving 0
#define stopping 1
#define aborting 2
#define finished 3

// From its start until its packet has been handled an operation is the system's: under way, then in the port.
typedef Operation { bool pending, under_way, cancelled, in_port }
Operation receive_op, send_op, accept_op;
bool operations_lent;  // the first two have an owner (SlotMap<Operations>)
byte wakes;            // packets of no operation in the port, for the connection
bool exit_packet;      // that of exit_key

// Strand
bool in_use, taken, notified;
byte pending_events, pending_commands;

// ConnectionState
byte phase, unsent;
bool paused, peer_finished, end_told, drained, blocked;
#define wants_receive (!peer_finished && phase < ended && (phase > open || !paused))
#define end_is_due (phase == open && peer_finished && !end_told && !paused)
#define drained_is_due (phase == open && drained)
#define wants_send (phase < ended && (unsent || end_is_due || drained_is_due))
#define next_is_shut_down (phase == closing && !unsent && !peer_finished)
#define next_is_close (phase == ended || (peer_finished && (phase == lingering || (phase == closing && !unsent))))
#define has_deadline (timeouts && (phase == lingering || (blocked && phase <= closing)))  // close, write timeout

// ServerBase and the backend
byte stage;
byte present;                        // present_: connections and accepts under way
bool listener_stopped;               // Listener::stopped_
bool arrival, resting;               // of the accept
bool deadline, passed;               // the connection's entry in timers_ (Session::timer_event); its time has come
#define has_pause (stage >= stopping && phase == lingering && !data)  // acknowledgement_pause
byte threads = 3;                    // of run()
bool stopped;                        // stop() has returned

// The peer, as the socket shows it. It waits in the backlog.
bool data, fin, reset, waits = true;

// Of one run: whether the peer reads, the timeouts are on, the drain of the stop has no end.
bool reads, timeouts, patient;

// One call of the system's fails, any.
bool has_failed;
#define fails !has_failed -> has_failed = true

// ---- server_base.cpp, server_base.h

inline post(command) {  // as Strand::post does it
  if
  :: in_use ->
    pending_commands = pending_commands | command;
    if :: !taken && !notified -> notify(); notified = true :: else fi
  :: else  // gone
  fi
}

inline enter() { present++ }
inline leave() { present-- }  // at 0 stop() is told

inline take(event) {
  if
  :: in_use && !taken ->
    taken = true; notified = false; mine = true;
    fetch();
    events = events | event;
    apply()
  :: in_use && taken -> pending_events = pending_events | event
  :: !in_use
  fi
}

inline fetch() { events = pending_events; commands = pending_commands; pending_events = 0; pending_commands = 0 }

inline apply() {
  if :: commands & stop_command -> begin_stop() :: else fi;
  if :: commands & abort_command -> failed() :: else fi;  // abort_for_stop
  commands = 0
}

inline begin_stop() {
  if
  :: stage >= aborting -> failed()  // abort_for_stop
  :: else -> paused = false; dispatch(); if :: phase == open -> phase = closing :: else fi
  fi
}

inline destroy() {  // and unseat
  phase = none; unsent = 0; paused = false; peer_finished = false; end_told = false; drained = false; blocked = false;
  passed = false;
  in_use = false; taken = false; notified = false; pending_events = 0; pending_commands = 0;  // end_session
  data = false; fin = false; reset = false;  // closesocket, which ends no operation
  mine = false;
  leave()
}

inline failed() {  // of what it still holds the connection state tells no more
  phase = ended;
  unsent = 0; paused = false; peer_finished = false; end_told = false; drained = false; blocked = false
}

inline dispatch() {
  if
  :: end_is_due -> end_told = true; if :: phase = closing :: true fi  // on_end: close(), or not
  :: else
  fi;
  if
  :: drained_is_due -> drained = false; if :: paused = true :: true fi  // on_drained: pause(), or not
  :: else
  fi
}

inline keep_time() {
  if
  :: passed && (has_deadline || has_pause) -> passed = false; failed()  // expired, or nothing_to_lose
  :: passed && !has_deadline && !has_pause -> passed = false
  :: !passed && has_pause -> failed()  // nothing_to_lose
  :: !passed
  fi;
  if :: (has_deadline || has_pause) && !deadline && !passed -> deadline = true :: else fi  // timers_.push
}

inline release() {
  if :: rounds < rounds_in_a_row -> rounds++ :: else fi;
  if
  :: rounds < rounds_in_a_row && (pending_events || pending_commands) -> fetch(); apply()
  :: else ->
    arm();
    if :: !error && rounds == rounds_in_a_row -> try_to_ring(); notified = !error :: else fi;  // yield
    if
    :: error -> error = false; failed()
    :: else -> taken = false; mine = false
    fi
  fi
}

inline try_to_ring() { if :: true -> notify() :: fails; error = true fi }  // it throws bad_alloc

// ---- 04_iocp/backend.cpp

inline start(operation) { operation.pending = true; operation.cancelled = false }

inline accept_client() {
  atomic {
    !mine && accept_op.in_port -> accept_op.in_port = false;
    enter();  // Arrival, until the strand is over
    good = !accept_op.cancelled; accept_op.pending = false;  // accepted_by
    post_accept();
    if
    :: good && stage == serving
    :: good && stage != serving -> good = false  // admit: stopping()
    :: good && fails; good = false               // accepted_by: SO_UPDATE_ACCEPT_CONTEXT
    :: !good
    fi
  };
  atomic { if :: good -> enter(); phase = open; in_use = true; taken = true :: else fi };  // admit: start_session
  atomic {
    if
    :: good -> operations_lent = true; mine = true; if :: stage >= stopping -> begin_stop() :: else fi  // associate, open
    :: good && fails; destroy()  // dismiss
    :: !good
    fi;
    accepts = mine;
    good = false;
    if :: mine :: else -> leave() fi
  }
}

inline receive() {
  receive_op.pending = false;
  if
  :: reset -> failed()
  :: !reset && !wants_receive  // paused meanwhile
  :: !reset && wants_receive ->
    if
    :: data -> data = false; if :: phase == open -> on_receive() :: else fi
    :: !data && fin -> peer_finished = true
    :: else  // would_block
    fi
  fi
}

inline on_receive() { if :: unsent++ :: phase = closing fi }  // send(), or close()

inline flush() {
  do
  :: !send_op.pending && unsent && phase < ended ->
    start(send_op);
    if  // WSASend
    :: !reset -> written_some()  // done at once: no packet comes
    :: send_op.under_way = true; blocked = true
    :: fails; send_op.pending = false; failed()
    fi
  :: else -> break
  od
}

inline written_some() {
  send_op.pending = false;
  if
  :: reset -> failed()
  :: !reset -> blocked = false; if :: phase < ended -> unsent--; drained = !unsent :: else fi  // sent
  fi
}

inline advance() {  // from its second half on: the first, dispatch and flush, is with go_on
  if :: next_is_shut_down -> phase = lingering :: else fi;  // shut_down
  keep_time();
  if :: next_is_close -> close_connection() :: else fi;
  if :: mine -> release() :: else fi
}

inline close_connection() {
  if :: receive_op.under_way -> receive_op.cancelled = true :: else fi;  // CancelIoEx
  if :: send_op.under_way -> send_op.cancelled = true :: else fi;
  if
  :: !(receive_op.pending || send_op.pending) || FAULT == 1 -> operations_lent = false; destroy()
  :: else  // not yet
  fi
}

inline go_on() {
  if :: events & written -> written_some() :: else fi;
  if :: events & readable -> receive() :: else fi;
  events = 0;
  dispatch();
  flush()
}

inline arm() {
  if :: wants_send && !send_op.pending -> try_to_ring() :: else fi;  // more is due: after those who wait
  if
  :: !error && wants_receive && !receive_op.pending ->
    start(receive_op);
    if  // WSARecv of no bytes
    :: data || fin || reset -> receive_op.in_port = (FAULT != 2)  // done at once: no packet comes but our own
    :: receive_op.under_way = true
    :: fails; receive_op.pending = false; error = true  // or our own could not be posted
    fi
  :: else
  fi
}

inline post_accept() {
  if :: !arrival -> arrival = true; enter() :: else fi;  // emplace: the one before goes
  if
  :: !listener_stopped -> start(accept_op); accept_op.under_way = true  // Listener::begin, AcceptEx
  :: !listener_stopped && !has_failed -> has_failed = true; arrival = false; leave(); resting = true
  :: listener_stopped -> arrival = false; leave()
  fi
}

inline notify() { if :: wakes < 2 -> wakes++ :: else fi }  // more of them would do no more

// ---- its threads

inline handled(operation) {
  assert(operations_lent && operation.pending);  // else its record was given up before its packet came
  operation.in_port = false
}

active [2] proctype worker() {  // work: a step takes a packet, or goes on with the strand
  byte event, events, commands, rounds;
  bool mine, error, accepts, good;
end:
  do
  :: atomic {
      if  // sleeps here, if it has no strand
      :: !mine && receive_op.in_port -> handled(receive_op); event = readable
      :: !mine && send_op.in_port -> handled(send_op); event = written
      :: !mine && wakes -> wakes--; event = timer_event
      :: !mine && exit_packet  // one for all: each worker takes it and posts it again
      :: mine -> advance()
      fi;
      if :: event -> take(event); event = 0 :: else fi;
      if :: mine -> go_on() :: else -> rounds = 0 fi;
      if :: !mine && accepts -> accepts = false; leave() :: else fi;
      if :: !mine && stage == finished -> break :: else fi
    }
  :: accept_client()
  od;
  threads--
}

active proctype timekeeper() {  // run_timekeeper
end:
  do  // sleeps here
  :: stage == finished -> break
  :: atomic { deadline -> deadline = false; passed = in_use; notify() }
  :: atomic { resting -> resting = false; post_accept() }  // accept_again
  od;
  threads--
}

init {
  atomic {
    if
    :: reads = true; timeouts = true
    :: timeouts = true
    :: true
    :: reads = true; patient = true
    fi;
    post_accept()  // run
  }
}

// ---- those outside

active proctype system() {
end:
  do
  :: atomic { receive_op.under_way && (data || fin || reset || receive_op.cancelled) ->
      receive_op.under_way = false; receive_op.cancelled = false; receive_op.in_port = true
    }
  :: atomic { send_op.under_way && (reads || reset || send_op.cancelled) ->
      send_op.under_way = false; send_op.cancelled = false; send_op.in_port = true
    }
  :: atomic { accept_op.under_way && accept_op.cancelled -> accept_op.under_way = false; accept_op.in_port = true }
  :: atomic { accept_op.under_way && waits ->
      waits = false; accept_op.under_way = false; accept_op.cancelled = false; accept_op.in_port = true
    }
  od
}

active proctype peer() {
end:
  do :: atomic { phase -> data = true }; break od;
  if
  :: atomic { phase -> fin = true }
  :: atomic { phase -> reset = true }
  :: true
  fi
}

active proctype stop() {  // Core::stop
  if
  :: stage = stopping  // advance
  :: true -> goto not_called
  fi;
  atomic {  // Listener::stop
    listener_stopped = true;
    if :: accept_op.under_way -> accept_op.cancelled = true :: else fi
  };
  atomic { post(stop_command) };  // broadcast
  if
  :: present == 0
  :: !patient -> stage = aborting; atomic { post(abort_command) }; present == 0
  fi;
  stage = finished;
  exit_packet = true;  // wake
  threads == 0;        // !running_
  assert(present == 0 && phase == none && !operations_lent && !accept_op.pending);
  stopped = true;
not_called:
  skip
}

ltl ends {
  <>[] ((phase <= open || (!timeouts && !(phase == lingering && fin)) || stage >= stopping) &&
        !(wants_send && !send_op.pending) && !(phase && wants_receive && (data || fin || reset)) &&
        (stage == serving || stopped) && (stage >= stopping || accept_op.pending))
}
