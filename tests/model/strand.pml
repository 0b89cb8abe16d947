// Which thread serves a connection: common/library/strand.h with the waker of common/library/wake_queue.h, and of
// server_base.h and server_base.cpp the way of a connection through them. One session, two workers, two tenants one after
// the other. An inline has the name of the function that it mirrors, and they stand in the order of those files. README.md
// says what is proved, and what is left out.
//
// Everything under the strand's lock is one step here. Halfway others could see no more than an armed socket or a
// notified waker, and then wait for the lock; that they see those just after the step comes to the same.
//
//   -DFAULT=1  release() frees the strand without a look at the pending
//   -DFAULT=2  try_acquire() does not compare the generation

#ifndef FAULT
#define FAULT 0
#endif

#define rounds_in_a_row 2  // server_base.h has 4

// Pending::events
#define readable 1
#define timer_event 2
// Pending::commands, each posted once: two sends by id, a close by id, a stop for whoever lives here, an answer given by id.
#define send_command 1
#define late 2  // a send by the thread that has closed
#define sends (send_command | late)
#define close_command 4
#define stop_command 8
#define answered 16
#define ends close_command
// ConnectionState::Phase
#define none 0
#define open 1
#define closing 2
#define lingering 3
#define ended 4
#define gone 5  // on_close runs

// class Strand
byte generation;
bool in_use, acquired, notified;
byte pending_events, pending_commands;
bool takes_no_more;  // all of backlog_ that matters here

// class WakeQueue
bool waker;  // its descriptor is readable
chan ids = [6] of { byte };

// The session, and what the system knows of its socket.
bool slot_free = true;
byte phase;
byte armed;  // the id that input is told to, once, as by EPOLLONESHOT; 0: to nobody
bool input;
bool arming_failed;  // it may, once
byte backlog = 2;    // clients who wait to be accepted
bool stopping;
chan packets = [1] of { byte };  // told once, whatever is armed: a completion, a deadline

byte noted;  // the id that a service was told in a callback, and keeps
bool deferred, closes_later;  // ConnectionState: it owes an answer; a stop waits for that

// What was seen, for the assertions and the claim.
bool busy;      // a callback runs
byte promised;  // commands that were answered `taken`, and are neither done nor gone with their tenant
bool owed;      // a packet for this tenant that nobody has acted upon yet

// ---- strand.h

inline start_session() { acquired = true; generation++; in_use = true; assert(generation != noted) }

inline end_session() {
  in_use = false; acquired = false; notified = false;
  pending_events = 0; pending_commands = 0;
  takes_no_more = false
}

inline fetch() {  // std::exchange(pending_, {})
  events = pending_events; commands = pending_commands;
  pending_events = 0; pending_commands = 0
}

inline try_acquire() {  // of id, event
  if
  :: !in_use || (id != generation && FAULT != 2)
  :: else ->
    if
    :: acquired -> pending_events = pending_events | event
    :: else -> acquired = true; notified = false; fetch(); events = events | event; mine = true
    fi
  fi
}

inline release() {
  set_backlog();
  if
  :: (pending_events || pending_commands) && FAULT != 1 -> fetch()
  :: else ->
    rearm();
    if
    :: error  // the strand stays
    :: else -> acquired = false; mine = false
    fi
  fi
}

inline yield() {
  rearm();
  if
  :: error  // the strand stays
  :: else -> notify(generation); notified = true; set_backlog(); acquired = false; mine = false
  fi
}

inline close() { takes_no_more = true; commands = pending_commands; pending_commands = 0 }

inline post(id, command) {  // id 0: to whoever lives here
  atomic {
    if
    :: !in_use || (id && id != generation)        // Posted::gone
    :: in_use && (!id || id == generation) && takes_no_more && (command & sends) ->  // Posted::gone
      assert(phase != open || (pending_commands & ends))  // with reason
    :: else ->
      assert((!id || id == generation) && command != late);
      if :: !acquired && !notified -> notify(generation); notified = true :: else fi;
      pending_commands = pending_commands | command;  // append
      takes_no_more = (takes_no_more || (command & ends));  // backlog_ = waiting
      promised = promised | command
    fi
  }
}

inline set_backlog() { takes_no_more = (phase != open || (pending_commands & ends)) }

// ---- wake_queue.h

inline notify(id) { ids ! id; if :: len(ids) == 1 -> waker = true :: else fi }

inline take() { waker = false; do :: ids ? id -> heard ! id, timer_event :: empty(ids) -> id = 0; break od }  // clear()

// ---- server_base.h and server_base.cpp, with the strand

inline base_release() {  // ServerBase::release
  rounds++;
  if
  :: rounds < rounds_in_a_row -> release()
  :: else -> yield()
  fi;
  if :: error -> error = false; phase = ended :: else fi  // failed()
}

inline begin_stop() {  // close_when_answered
  if
  :: phase == open && deferred -> closes_later = true
  :: phase == open && !deferred -> phase = closing
  :: else
  fi
}

inline open_it() { mine = true; called(); if :: stopping -> begin_stop() :: else fi }  // ServerBase::open

inline apply() {
  assert((commands & promised) == commands);            // this tenant's, each once
  assert(!(commands & sends) || phase != lingering);  // contract 6: promised before the close, so before the FIN
  promised = promised & ~commands;
  if
  :: commands & answered -> deferred = false; if :: closes_later && phase == open -> phase = closing :: else fi
  :: else
  fi;
  if :: commands & stop_command -> begin_stop() :: else fi;
  if :: (commands & close_command) && phase == open -> phase = closing :: else fi;
  commands = 0
}

inline destroy() { close(); commands = 0; called(); phase = gone }  // on_close

inline remove() {
  deferred = false; closes_later = false;
  armed = 0; input = false; promised = 0; owed = false;  // the socket leaves the session, and takes what it is owed with it
  phase = none;
  end_session();
  mine = false;
  slot_free = true
}

// A callback runs from here until its thread's next step.
inline called() { assert(!busy); busy = true }
inline returned() { busy = false }

// ---- a readiness model's backend.cpp, with the strand

inline rearm() {
  if
  :: armed = generation
  :: !arming_failed -> arming_failed = true; error = true
  fi
}

inline receive() {
  if
  :: events & readable -> input = false; if :: true :: phase = ended fi  // bytes, or a reset
  :: else
  fi;
  if :: events & timer_event -> owed = false :: else fi;
  events = 0
}

inline advance() {
  atomic {
    mine && phase < gone -> returned();
    if :: phase == closing -> close(); apply() :: else fi  // collect_promised
  };
  atomic {
    if
    :: phase == closing -> assert(!(promised & sends)); phase = lingering  // FIN
    :: true  // or the system takes no more yet
    fi;
    if
    :: phase >= lingering -> destroy()  // the FIN of the peer is in, or the connection has ended otherwise
    :: phase <= lingering -> base_release(); if :: mine -> serve() :: else -> rounds = 0 fi
    fi
  }
}

inline serve() {
  assert(id == 0 || id == generation);  // nothing is done for an id that is gone
  id = 0;
  called(); apply(); receive()
}

// ---- the threads

active [2] proctype worker() {
  byte id, event, events, commands, rounds;
  bool mine, error;
  chan heard = [6] of { byte, byte };  // what it was told: id, event
end:
  do
  :: atomic { !mine && nempty(heard) ->
      heard ? id, event; try_acquire(); event = 0;
      if :: mine -> serve() :: else -> id = 0 fi
    }
  :: advance()
  :: atomic { mine && phase == gone -> returned(); remove() }
  // Here it sleeps.
  :: atomic { !mine && empty(heard) && armed && input -> heard ! armed, readable; armed = 0 }
  :: atomic { !mine && empty(heard) && packets ? [id] -> packets ? id; heard ! id, timer_event; id = 0 }
  :: atomic { !mine && empty(heard) && waker -> take() }
  :: atomic { !mine && empty(heard) && backlog && slot_free && !stopping -> backlog--; slot_free = false };  // accept_client
    atomic { start_session(); phase = open };
    atomic { open_it() }  // what a broadcast missed before start_session is seen here
  od
}

active proctype peer() {
end:
  do :: atomic { phase -> input = true }; break od
}

active proctype sender() {
end:
  do :: noted -> break od;
  post(noted, send_command);
  post(noted, answered)
}

active proctype closer() {
end:
  do :: noted -> break od;
  post(noted, close_command);
  post(noted, late)  // contract 3: it is gone
}

active proctype timekeeper() {
end:
  do :: atomic { phase == open -> noted = generation; if :: !closes_later -> deferred = true :: true fi }; break od;
  atomic { packets ! noted; owed = (in_use && noted == generation) }
}

active proctype stop() {
  stopping = true;
  post(0, stop_command)
}

ltl nothing_lost { <>[] (!promised && !owed && !input && !(stopping && phase == open)) }
