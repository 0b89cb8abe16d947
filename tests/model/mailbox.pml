// Whose turn a connection is: common/mailbox.h with the bell of common/bells.h, and of core.h and core.cpp the way of a
// turn through them. One seat, two workers, two tenants one after the other. An inline has the name of the function that
// it mirrors, and they stand in the order of those files. What is proved and what is left out: README.md.
//
// What happens under the mailbox's lock is one step here. Halfway others could see no more than an armed socket or a
// rung bell, and then wait for the lock; that they see those just after the step comes to the same.
//
//   -DFAULT=1  release() frees the turn without a look at the mail
//   -DFAULT=2  take() does not compare the generation

#ifndef FAULT
#define FAULT 0
#endif

#define rounds_in_a_row 2  // core.h has 4

// Mail::events
#define readable 1
#define alarm 2
// Mail::wishes, each posted once: two sends by id, a close by id, a stop for whoever lives here.
#define send_wish 1
#define late 2  // by the thread that has closed
#define sends (send_wish | late)
#define close_wish 4
#define stop_wish 8
#define ends (close_wish | stop_wish)
// Ledger::Phase
#define none 0
#define open 1
#define closing 2
#define lingering 3
#define ended 4
#define gone 5  // on_close runs

// class Mailbox
byte generation;
bool lived_in, taken, rung;
byte mail_events, mail_wishes;
bool takes_no_more;  // all of backlog_ that matters here

// class Bells
bool bell;  // its descriptor is readable
chan ids = [6] of { byte };

// The seat, and what the system knows of its socket.
bool seat_free = true;
byte phase;
byte armed;  // the id that input is told to, once, as by EPOLLONESHOT; 0: to nobody
bool input;
bool arming_failed;  // it may, once
byte backlog = 2;    // clients who wait to be accepted
bool stopping;
chan packets = [1] of { byte };  // told once, whatever is armed: a completion, a deadline

byte noted;  // the id that a service was told in a callback, and keeps

// What was seen, for the assertions and the claim.
bool busy;      // a callback runs
byte promised;  // wishes that were answered `taken`, and are neither done nor gone with their tenant
bool owed;      // a packet for this tenant that nobody has acted upon yet

// ---- mailbox.h

inline move_in() { taken = true; generation++; lived_in = true; assert(generation != noted) }

inline move_out() {
  lived_in = false; taken = false; rung = false;
  mail_events = 0; mail_wishes = 0;
  takes_no_more = false
}

inline fetch() {  // std::exchange(mail_, {})
  events = mail_events; wishes = mail_wishes;
  mail_events = 0; mail_wishes = 0
}

inline take() {  // of id, event
  if
  :: !lived_in || (id != generation && FAULT != 2)
  :: else ->
    if
    :: taken -> mail_events = mail_events | event
    :: else -> taken = true; rung = false; fetch(); events = events | event; mine = true
    fi
  fi
}

inline release() {
  set_backlog();
  if
  :: (mail_events || mail_wishes) && FAULT != 1 -> fetch()
  :: else ->
    rearm();
    if
    :: error  // the turn stays
    :: else -> taken = false; mine = false
    fi
  fi
}

inline hand_over() {
  rearm();
  if
  :: error  // the turn stays
  :: else -> ring(generation); rung = true; set_backlog(); taken = false; mine = false
  fi
}

inline close() { takes_no_more = true; wishes = mail_wishes; mail_wishes = 0 }

inline post(id, wish) {  // id 0: to whoever lives here
  atomic {
    if
    :: !lived_in || (id && id != generation)        // Posted::gone
    :: lived_in && (!id || id == generation) && takes_no_more && (wish & sends) ->  // Posted::gone
      assert(phase != open || (mail_wishes & ends))  // with reason
    :: else ->
      assert((!id || id == generation) && wish != late);
      if :: !taken && !rung -> ring(generation); rung = true :: else fi;
      mail_wishes = mail_wishes | wish;  // append
      takes_no_more = (takes_no_more || (wish & ends));  // backlog_ = waiting
      promised = promised | wish
    fi
  }
}

inline set_backlog() { takes_no_more = (phase != open || (mail_wishes & ends)) }

// ---- bells.h

inline ring(id) { ids ! id; if :: len(ids) == 1 -> bell = true :: else fi }

inline bells_take() { bell = false; do :: ids ? id -> heard ! id, alarm :: empty(ids) -> id = 0; break od }  // quiet()

// ---- core.h and core.cpp, with the turn

inline core_release() {  // Core::release
  rounds++;
  if
  :: rounds < rounds_in_a_row -> release()
  :: else -> hand_over()
  fi;
  if :: error -> error = false; phase = ended :: else fi  // failed()
}

// Core::open: on_open, begin_stop
inline open_it() { mine = true; called(); if :: stopping -> phase = closing :: else fi }

inline apply() {
  assert((wishes & promised) == wishes);            // this tenant's, each once
  assert(!(wishes & sends) || phase != lingering);  // contract 6: promised before the close, so before the FIN
  promised = promised & ~wishes;
  if :: (wishes & ends) && phase == open -> phase = closing :: else fi;
  wishes = 0
}

inline retire() { close(); wishes = 0; called(); phase = gone }  // on_close

inline unseat() {
  armed = 0; input = false; promised = 0; owed = false;  // the socket leaves the seat, and takes what it is owed with it
  phase = none;
  move_out();
  mine = false;
  seat_free = true
}

// A callback runs from here until its thread's next step.
inline called() { assert(!busy); busy = true }
inline returned() { busy = false }

// ---- a readiness model's server.cpp, with the turn

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
  if :: events & alarm -> owed = false :: else fi;
  events = 0
}

inline settle() {
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
    :: phase >= lingering -> retire()  // the FIN of the peer is in, or the connection has ended otherwise
    :: phase <= lingering -> core_release(); if :: mine -> serve() :: else -> rounds = 0 fi
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
  byte id, event, events, wishes, rounds;
  bool mine, error;
  chan heard = [6] of { byte, byte };  // what it was told: id, event
end:
  do
  :: atomic { !mine && nempty(heard) ->
      heard ? id, event; take(); event = 0;
      if :: mine -> serve() :: else -> id = 0 fi
    }
  :: settle()
  :: atomic { mine && phase == gone -> returned(); unseat() }
  // Here it sleeps.
  :: atomic { !mine && empty(heard) && armed && input -> heard ! armed, readable; armed = 0 }
  :: atomic { !mine && empty(heard) && packets ? [id] -> packets ? id; heard ! id, alarm; id = 0 }
  :: atomic { !mine && empty(heard) && bell -> bells_take() }
  :: atomic { !mine && empty(heard) && backlog && seat_free && !stopping -> backlog--; seat_free = false };  // accept_client
    atomic { move_in(); phase = open };
    atomic { open_it() }  // what a sweep missed before move_in is seen here
  od
}

active proctype peer() {
end:
  do :: atomic { phase -> input = true }; break od
}

active proctype sender() {
end:
  do :: noted -> break od;
  post(noted, send_wish)
}

active proctype closer() {
end:
  do :: noted -> break od;
  post(noted, close_wish);
  post(noted, late)  // contract 3: it is gone
}

active proctype keeper() {
end:
  do :: atomic { phase == open -> noted = generation }; break od;
  atomic { packets ! noted; owed = (lived_in && noted == generation) }
}

active proctype stop() {
  stopping = true;
  post(0, stop_wish)
}

ltl nothing_lost { <>[] (!promised && !owed && !input && !(stopping && phase == open)) }
