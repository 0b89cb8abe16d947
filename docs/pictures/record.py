#!/usr/bin/env python3
"""Plays one scene against a sketch, traces the sketch's calls, and writes what happened as JSON.

    docs/pictures/record.py build/linux/bin/03_select_sketch 03_select/pictures/sketch.json
    docs/pictures/record.py build/windows-cross/bin/04_iocp_sketch.exe 04_iocp/pictures/sketch.json

The scene advances by beats. A beat is one act of one client, and then a wait until the server is at rest. The length of
the trace at each rest is the boundary between two beats: a call that began before it and ended after it has slept
across it. No clock says so. README.md beside this file explains the fields of the recording.

It needs Linux, strace, util-linux' unshare and, for a Windows program, Wine. Exit status 77: one of them is missing.
LADDER_PICTURES_TRACE=FILE keeps the trace too; LADDER_PICTURES_WINEPREFIX names another prefix than build/wine-pictures.
"""

import argparse
import fcntl
import json
import os
import platform
import re
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import draw

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ("slow", "silent", "quick")
TOTAL, SOME = 300_000, 30_000
WORDS = ("one", "two", "three")
PATIENCE = 60  # seconds until a beat that finds no rest is a failure; no beat is as long as that
MISSING = 77


def size_text(count):
    return f"{count} B" if count < 1000 else f"{round(count / 1000)} kB"


# --- What happened, in the words of the trace -----------------------------------------------------------------------


class Half:
    """The beginning or the end of one call. `at`: its place in the trace, in bytes."""

    def __init__(self, at, thread, begins, name, text, result=None):
        self.at, self.thread, self.begins, self.name, self.text, self.result = at, thread, begins, name, text, result


def strace_halves(trace):
    """strace writes a call's beginning at once, and completes the line when the call ends or another thread speaks."""
    halves, at = [], 0
    for line in trace.split(b"\n"):
        begin, end = at, at + len(line) + 1
        complete, at = end <= len(trace), end
        match = re.match(r"(\d+) +\d+\.\d+ (?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)", line.decode("utf-8", "replace"))
        if not match:
            continue  # a signal, or the end of a thread
        thread, resumed, name, rest = int(match[1]), match[2], match[3], match[4]
        if name:
            halves.append(Half(begin + 1, thread, True, name, rest))  # behind a rest that the line before ends at
        if complete and not rest.endswith("<unfinished ...>"):
            result = re.search(r"\)? += (.*)$", rest)
            halves.append(Half(end, thread, False, name or resumed, rest, result[1] if result else ""))
    return sorted(halves, key=lambda half: half.at)


def wine_halves(trace):
    """Relay says when a call begins and ends. The answer of Wine's server before that says which packet it was."""
    halves, at, packets = [], 0, {}
    relay = re.compile(r"(?:[\d.]+:)?([0-9a-f]{4}):(Call|Ret ) (\w+)\.(\w+)\((.*?)\)(?: retval=([0-9a-f]+))? ret=")
    packet = re.compile(
        r"([0-9a-f]{4}): remove_completion\(\) = 0 \{ ckey=\w+, cvalue=([0-9a-f]+), information=([0-9a-f]+)")
    for line in trace.split(b"\n"):
        at += len(line) + 1
        if b"remove_completion()" not in line and b" ret=" not in line:
            continue
        text = line.decode("utf-8", "replace")
        if match := packet.match(text):
            packets[int(match[1], 16)] = (int(match[2], 16), int(match[3], 16))
        elif match := relay.match(text):
            thread, begins = int(match[1], 16), match[2] == "Call"
            result = None if begins else int(match[6], 16)
            half = Half(at, thread, begins, match[4], match[5], result)
            if not begins and match[4] == "GetQueuedCompletionStatus":
                half.text = packets.pop(thread, None)
            halves.append(half)
    return halves


class Call:
    def __init__(self, thread, name, begin):
        self.thread, self.name, self.begin, self.end = thread, name, begin, None
        self.client = None  # for one of them; None: for all
        self.bytes = 0
        self.family = self.text = name  # calls of one family are counted together in a picture
        self.effect = None  # received, sent, accepted, ended, closed
        self.changes = []  # what the kernel does for a client from now on: (client, state or None)
        self.begun = ""  # what the trace says when it begins
        self.watched = []  # 03: (client, state) while the call lasts


def count_of(call, effect, count):
    call.bytes, call.effect = count, effect
    call.text = f"{call.name} → {size_text(count)}"


class Posix:
    """Understands the calls of 01, 02, 03 and 05: the client of each call, and what the kernel is asked to do."""

    names = {"accept4": "accept", "recvfrom": "recv", "sendto": "send", "pselect6": "select",
             "epoll_pwait": "epoll_wait"}

    def __init__(self, ports):
        self.ports, self.clients, self.data, self.one_shot = ports, {}, {}, False

    def name(self, half):
        return self.names.get(half.name, half.name)

    def client_of(self, text):
        match = re.match(r"(\d+)", text)
        return self.clients.get(int(match[1])) if match else None

    def begin(self, call, half):
        if call.name in ("recv", "send", "close"):
            call.client = self.client_of(half.text)
        elif call.name == "select":
            self.begin_select(call, half.text)
        return call.name != "close" or call.client is not None

    def begin_select(self, call, text):
        sets = re.findall(r"\[([^][]*(?:\[[^][]*\][^][]*)*)\]", text)
        for members, state in zip(sets, ("read", "write")):
            for fd in re.findall(r"(?:^| )(\d+)", members):
                if int(fd) in self.clients:
                    call.watched.append((self.clients[int(fd)], state))

    def end(self, call, half):
        getattr(self, "end_" + call.name)(call, half)

    def end_accept(self, call, half):
        match = re.match(r"(\d+)<TCP:\[[\d.]+:\d+->[\d.]+:(\d+)\]>", half.result)
        if not match:
            call.text = call.family = f"accept → {half.result.split()[1]}"
            return
        client = self.ports[int(match[2])]
        self.clients[int(match[1])] = call.client = client
        call.effect, call.text = "accepted", f"accept → {client}"

    def end_recv(self, call, half):
        self.end_transfer(call, half, "received")

    def end_send(self, call, half):
        self.end_transfer(call, half, "sent")

    def end_transfer(self, call, half, effect):
        result = int(half.result.split()[0])
        if result > 0:
            count_of(call, effect, result)
        elif result == 0:
            call.effect, call.text = "ended", f"{call.name} → 0 (end)"
        else:
            call.text = f"{call.name} → {half.result.split()[1]}"
        if result <= 0:
            call.family = call.text

    def end_close(self, call, half):
        call.effect = "closed"
        fd = int(re.match(r"\d+", call.begun)[0])
        self.clients.pop(fd, None)
        call.changes.append((call.client, None))

    def end_select(self, call, half):
        sets = re.findall(r"(?:in|out) \[([\d ]+)\]", half.result)
        self.woken(call, [self.clients.get(int(fd)) for fd in " ".join(sets).split()])

    def woken(self, call, ready):
        """By one client the call belongs to it; by the listener, to the client that is accepted next."""
        if len(ready) == 1:
            call.client = ready[0]
        call.text = f"{call.name} → {', '.join(client or 'listener' for client in ready)}"

    def end_epoll_ctl(self, call, half):
        text = call.begun
        match = re.search(r", EPOLL_CTL_(ADD|MOD|DEL), (\d+)", text)
        call.client = self.clients.get(int(match[2]))
        if match[1] == "DEL":
            call.text = call.family = "epoll_ctl DEL"
            call.changes.append((call.client, None))
            return
        self.data[re.search(r"u64=(\w+)", text)[1]] = call.client
        self.one_shot = "EPOLLONESHOT" in text
        state = "write" if "EPOLLOUT" in text else "read"
        call.family = f"epoll_ctl {match[1]}"
        call.text = f"{call.family}: may it be {'read' if state == 'read' else 'written'}?"
        if call.client:
            call.changes.append((call.client, state))

    def end_epoll_wait(self, call, half):
        ready = [self.data.get(data) for data in re.findall(r"u64=(\w+)", half.text)]
        self.woken(call, ready)
        if self.one_shot:
            call.changes += [(client, None) for client in ready if client]


class Windows:
    """Understands the calls of 04. The n-th connection accepted is the n-th that was made: the backlog is a queue."""

    def __init__(self, order):
        self.order, self.clients, self.operations = list(order), {}, {}

    def name(self, half):
        return half.name

    def begin(self, call, half):
        arguments = [int(each, 16) for each in half.text.split(",") if re.fullmatch("[0-9a-f]+", each)]
        if call.name in ("WSARecv", "WSASend"):
            call.client = self.clients[arguments[0]]
            state = "receive" if call.name == "WSARecv" else "send"
            self.operations[arguments[5]] = (call.client, state)  # by the address of its record
            call.changes.append((call.client, state))  # from the call's beginning: its packet may overtake its return
        elif call.name == "closesocket":
            call.client = self.clients.get(arguments[0])
            return call.client is not None
        return call.name != "closesocket"

    def end(self, call, half):
        if call.name == "WSAAccept":
            call.client = self.order.pop(0)
            self.clients[half.result] = call.client
            call.effect, call.text = "accepted", f"WSAAccept → {call.client}"
        elif call.name in ("WSARecv", "WSASend"):
            call.text = f"{call.name}: {'done' if half.result == 0 else 'pending'}"
            call.effect = "sent" if call.name == "WSASend" else None
        elif call.name == "closesocket":
            call.effect = "closed"
            self.clients = {handle: client for handle, client in self.clients.items() if client != call.client}
            call.changes.append((call.client, None))
        elif half.text:
            self.packet(call, *half.text)

    def packet(self, call, record, count):
        call.client, state = self.operations.pop(record)
        call.bytes = count
        call.changes.append((call.client, None))
        call.effect = "ended" if count == 0 else "received" if state == "receive" else "completed"
        call.family = f"packet of a {state}" if count else "packet: 0 (end)"
        call.text = f"packet: {size_text(count)}" if count else call.family


WAITS = ("select", "epoll_wait", "GetQueuedCompletionStatus", "accept", "WSAAccept")  # for all; recv and send: for one


def calls_of(halves, reader, tick_of):
    """Puts the halves together. tick_of(half) is the half's place in the order of all that happened."""
    calls, open_calls = [], {}
    for half in halves:
        if half.begins:
            call = Call(half.thread, reader.name(half), tick_of(half))
            call.begun = half.text
            if reader.begin(call, half):
                open_calls[half.thread] = call
                calls.append(call)
        elif call := open_calls.pop(half.thread, None):
            call.end = tick_of(half)
            reader.end(call, half)
    return calls


# --- The system: a network of its own, the traced program, and when it is at rest -----------------------------------


def enter_namespace():
    """Starts this script again where no other program's connection can disturb it."""
    if os.environ.get("LADDER_PICTURES_NAMESPACE"):
        bring_up_loopback()
        return shrink_buffers()
    for options in (["--net"], ["--user", "--map-root-user", "--net"]):
        if subprocess.run(["unshare", *options, "true"], stderr=subprocess.DEVNULL).returncode == 0:
            os.environ["LADDER_PICTURES_NAMESPACE"] = "yes"
            os.execvp("unshare", ["unshare", *options, sys.executable, *sys.argv])
    missing("a network namespace of one's own is not allowed here")


def bring_up_loopback():
    get_flags, set_flags, up = 0x8913, 0x8914, 1  # SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP: netdevice(7)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh22x", b"lo", 0)
        flags = struct.unpack_from("16sh", fcntl.ioctl(any_socket, get_flags, request))[1]
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sh22x", b"lo", flags | up))


def shrink_buffers():
    """A server's send buffer grows to megabytes, and 30 kB read would wake nobody: room for a third of it does."""
    try:
        Path("/proc/sys/net/ipv4/tcp_wmem").write_text("4096 16384 65536")
    except OSError as error:  # some containers forbid it; then step 4 moves nothing, and all else holds
        print(f"the send buffers keep their size: {error.strerror}", file=sys.stderr)


def missing(what):
    print(f"skipped: {what}")
    sys.exit(MISSING)


class Connections:
    """/proc/net/tcp: each connection's bytes, and whether any are on their way."""

    def __init__(self):
        self.rows = []
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            local, remote = (int(field.split(":")[1], 16) for field in fields[1:3])
            sent, received = (int(count, 16) for count in fields[4].split(":"))
            self.rows.append((local, remote, int(fields[3], 16), sent, received, fields[5].split(":")[0]))

    def on_their_way(self):  # the timer for segments that nobody has acknowledged runs
        return any(timer == "01" for *_, timer in self.rows)

    def settled(self):  # TIME_WAIT, state 6, ends by a clock
        return sorted(row[:5] for row in self.rows if row[2] != 6)

    def backlog(self, port):
        return next(received for local, _, state, _, received, _ in self.rows if local == port and state == 10)

    def held(self, client_port):
        """What lies in the kernel's buffers of both ends, each way."""
        to_server = to_client = 0
        for local, remote, state, sent, received, _ in self.rows:
            fin = 1 if state in (8, 9) else 0  # CLOSE_WAIT, LAST_ACK: the peer's FIN counts as a byte
            if local == client_port:
                to_server, to_client = to_server + (sent if state == 1 else 0), to_client + max(received - fin, 0)
            elif remote == client_port:
                to_server, to_client = to_server + max(received - fin, 0), to_client + (sent if state in (1, 8) else 0)
        return to_server, to_client


def threads_at_rest(pid):
    """How often each thread has run, if all of them sleep; None if one does not."""
    runs = []
    for task in sorted(Path(f"/proc/{pid}/task").iterdir()):
        try:
            if (task / "stat").read_text().rsplit(")", 1)[1].split()[0] != "S":
                return None
            runs.append((task.name, re.findall(r"ctxt_switches:\s+(\d+)", (task / "status").read_text())))
        except FileNotFoundError:
            return None  # it has just ended
    return tuple(runs)


class Traced:
    """A sketch that runs under a tracer, which writes into one file."""

    def __init__(self, folder):
        self.trace, self.output = folder / "trace", folder / "output"
        self.server = None
        self.processes = []  # whose threads must sleep

    def run(self, program):
        self.start(program)
        self.port = self.wait_for(self.announced, "the sketch listens")

    def wait_for(self, condition, what):
        give_up = time.monotonic() + PATIENCE
        while not (answer := condition()):
            for process in self.processes:
                if process.poll() is not None:
                    sys.exit(f"{process.args[0]} ended with status {process.returncode}: {self.output.read_text()}")
            if time.monotonic() > give_up:
                sys.exit(f"gave up after {PATIENCE} s: waiting until {what}")
            time.sleep(0.002)
        return answer

    def announced(self):
        match = re.search(r"listening on 127\.0\.0\.1:(\d+)", self.output.read_text())
        return match and int(match[1])

    def state(self):
        """All that must not change; None while something is under way."""
        before = self.length()
        runs = [threads_at_rest(process.pid) for process in self.processes]
        connections = Connections()
        if None in runs or connections.on_their_way() or not all(runs) or self.length() != before:
            return None
        return before, runs, connections.settled()

    def length(self):
        return self.trace.stat().st_size

    def rest(self):
        """Waits until nothing has changed over ten looks, and returns the length of the trace."""
        last, same = None, 0

        def quiet():
            nonlocal last, same
            state = self.state()
            same = same + 1 if state is not None and state == last else 0
            last = state
            return same >= 10

        self.wait_for(quiet, "the server is at rest")
        return last[0]

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()


class Strace(Traced):
    calls = "accept accept4 recvfrom sendto close select pselect6 epoll_wait epoll_pwait epoll_ctl"

    def start(self, program):
        calls = ",".join("?" + name for name in self.calls.split())  # not every machine has each of them
        command = ["strace", "-f", "-D", "-ttt", "-yy", "-s", "4", "-o", self.trace, "-e", f"trace={calls}",
                   "-e", "signal=none", program, "0"]
        self.trace.touch()
        with open(self.output, "wb") as output:
            self.server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        self.processes = [self.server]

    def halves(self, until):
        return [half for half in strace_halves(self.trace.read_bytes()) if half.at <= until]

    def system(self):
        version = subprocess.run(["strace", "--version"], capture_output=True, text=True).stdout.split("\n")[0]
        return f"Linux {kernel()}, {version.replace(' -- version', '')}"


class Wine(Traced):
    """Wine's server holds the sockets, so one of our own runs in our network, on a prefix of our own."""

    wineserver = None
    calls = "WSAAccept WSARecv WSASend closesocket"

    def environment(self, debug):
        prefix = os.environ.get("LADDER_PICTURES_WINEPREFIX", str(ROOT / "build" / "wine-pictures"))
        return os.environ | {"WINEPREFIX": prefix, "WINEDEBUG": debug}

    def start(self, program):
        wine = str(ROOT / "cmake" / "wine.sh")
        quiet = self.environment("-all")
        include = ";".join([f"ws2_32.{name}" for name in self.calls.split()] + ["kernel32.GetQueuedCompletionStatus"])
        subprocess.run([wine, "reg", "add", r"HKCU\Software\Wine\Debug", "/v", "RelayInclude", "/d", include, "/f"],
                       env=quiet, check=True, capture_output=True)
        subprocess.run(["wineserver", "-k"], env=quiet)  # that one does not write its log
        subprocess.run(["wineserver", "-w"], env=quiet)
        with open(self.trace, "ab") as trace, open(self.output, "wb") as output:
            self.wineserver = subprocess.Popen(["wineserver", "-f", "-d", "-p"], env=quiet, stdout=trace, stderr=trace)
            self.processes = [self.wineserver]
            self.wait_for(self.wineserver_runs, "Wine's server runs")  # or the program would start one without a log
            self.server = subprocess.Popen([wine, program, "0"], env=self.environment("+relay,+timestamp,+tid"),
                                           stdin=subprocess.DEVNULL, stdout=output, stderr=trace)
        self.processes = [self.server]

    def wineserver_runs(self):
        return subprocess.run(["wineserver", "-k0"], env=self.environment("-all")).returncode == 0

    def state(self):
        """Wine's own threads wake up now and then: of its server's it matters only that they sleep."""
        state = super().state()
        return state if state and threads_at_rest(self.wineserver.pid) else None

    def stop(self):
        subprocess.run(["wineserver", "-k"], env=self.environment("-all"))  # which ends the program too
        super().stop()
        if self.wineserver:
            self.wineserver.wait()

    def halves(self, until):
        return [half for half in wine_halves(self.trace.read_bytes()) if half.at <= until]

    def system(self):
        asked = subprocess.run(["wine", "--version"], env=self.environment("-all"), capture_output=True, text=True)
        version = asked.stdout
        return f"{version.split()[0].replace('wine-', 'Wine ')} on Linux {kernel()}"


def kernel():
    return ".".join(platform.release().split("-")[0].split(".")[:2])


# --- The scene ------------------------------------------------------------------------------------------------------


class Client:
    def __init__(self, name):
        self.name, self.socket = name, socket.socket()
        self.sent = self.received = b""
        if name == "slow":  # so that 300 kB do not fit into the buffers between it and the server
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1460)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)

    def connect(self, port):
        self.socket.connect(("127.0.0.1", port))
        self.port = self.socket.getsockname()[1]
        self.socket.settimeout(PATIENCE)

    def send(self, data):
        self.sent += data
        self.socket.sendall(data)

    def read(self, count):
        while count > 0:
            data = self.socket.recv(count)
            if not data:
                sys.exit(f"{self.name}: the server has closed the connection")
            self.received += data
            count -= len(data)

    def look(self):
        """What has come, without waiting for it."""
        data = self.socket.recv(65536) if select.select([self.socket], [], [], 0)[0] else b""
        self.received += data
        return data


class Scene:
    """The eight steps, and what was seen at each rest."""

    def __init__(self, traced):
        self.traced, self.clients, self.moments, self.beats = traced, {}, [], []
        self.steps = []
        self.begin = self.boundary = traced.rest()
        self.said = 0  # words of quick's
        self.play()

    def event(self, client, act, count=0, text=None):
        self.moments.append((self.boundary, {"client": client, "act": act, "bytes": count, "text": text or act}))

    def step(self, client, text):
        self.steps.append({"number": len(self.steps) + 1, "client": client, "text": text})

    def beat(self, client, act):
        """The act has been done: waits for rest, and then lets quick look for its echo."""
        self.boundary = self.traced.rest()
        quick = self.clients.get("quick")
        if quick and quick.socket.fileno() >= 0 and (echo := quick.look()):
            self.event("quick", "echo", len(echo), "echo")
        connections = Connections()
        held = {}
        for name, each in self.clients.items():
            to_server, to_client = connections.held(each.port)
            if to_server or to_client:
                held[name] = {"to_server": to_server, "to_client": to_client}
        beat = {"step": self.steps[-1]["number"], "client": client, "act": act,
                "backlog": connections.backlog(self.traced.port), "held": held}
        self.beats.append((self.boundary, beat))
        self.moments.append((self.boundary, None))

    def connect(self, name):
        self.event(name, "connects")
        client = self.clients[name] = Client(name)
        client.connect(self.traced.port)
        self.beat(name, "connects")

    def leave(self, name):
        self.event(name, "leaves")
        self.clients[name].socket.close()
        self.beat(name, "leaves")

    def say(self):
        """quick's next word; it waits for each echo before it goes on."""
        word = WORDS[self.said]
        self.said += 1
        self.event("quick", "sends", len(word) + 1, f"“{word}”")
        self.clients["quick"].send(word.encode() + b"\n")
        self.beat("quick", f"says “{word}”")

    def answered(self):
        return self.clients["quick"].received == self.clients["quick"].sent

    def read_slowly(self, count):
        self.event("slow", "reads", count, f"reads {size_text(count)}")
        self.clients["slow"].read(count)
        self.beat("slow", f"reads {size_text(count)}")

    def play(self):
        self.step("slow", "connects, sends 300 kB")
        self.connect("slow")
        self.event("slow", "sends", TOTAL, "sends 300 kB")
        self.clients["slow"].send(bytes(place * 7 % 251 for place in range(TOTAL)))
        self.beat("slow", "sends 300 kB")
        self.step("silent", "connects")
        self.connect("silent")
        self.step("quick", "connects, says “one”")
        self.connect("quick")
        self.say()
        self.step("slow", "reads 30 kB")
        self.read_slowly(SOME)
        if self.answered():
            self.step("quick", "says “two”")
            self.say()
        else:
            self.step("quick", "still waits")
            self.beat("quick", "still waits")
        self.step("slow", "reads the rest, leaves")
        self.read_slowly(TOTAL - SOME)
        self.leave("slow")
        self.step("silent", "leaves")
        self.leave("silent")
        self.step("quick", "says the rest, leaves")
        while self.said < len(WORDS):
            if not self.answered():
                sys.exit("quick was not answered, and nobody else is there")
            self.say()
        self.leave("quick")

    def echoes_whole(self):
        return {name: client.sent == client.received for name, client in self.clients.items()}


# --- The recording --------------------------------------------------------------------------------------------------


class Recording:
    def __init__(self, program, scene, halves, reader, system):
        self.scene, self.reader = scene, reader
        self.order(halves)
        self.calls = [call for call in calls_of(halves, reader, lambda half: self.ticks[half])
                      if call.end is None or call.end > 0]
        self.rests = [0] + [tick for tick, _ in self.beats]
        self.name_threads()
        name = re.fullmatch(r"(.*?)_(sketch.*?)(\.exe)?", Path(program).name)
        self.json = {"format": 1, "rung": name[1], "sketch": name[2], "program": f"{name[1]}_{name[2]}",
                     "system": system, "title": None, "sentence": None, "end": self.last, "whole": scene.echoes_whole()}
        self.json["steps"] = self.steps()
        self.json["beats"] = self.rest_of_beats()
        self.json["clients"] = self.clients()
        self.json["threads"] = self.threads()
        self.json["kernel"] = self.kernel()
        self.json["arrows"] = self.arrows()
        self.json["texts"] = self.texts()
        self.json["calls"] = [self.call_json(call) for call in self.calls]
        self.json["title"] = draw.title(self.json)
        self.json["sentence"] = draw.sentence(self.json)

    def order(self, halves):
        """One order for all: the halves of calls by their place in the trace, what a client did between them."""
        moments = [(half.at, 0, half) for half in halves]
        moments += [(at, 1, moment) for at, moment in self.scene.moments]  # a rest is in their order: see Scene.beat
        moments.sort(key=lambda moment: moment[:2])
        kept = [moment for moment in moments if moment[0] > self.scene.begin or moment[1] == 1]
        before = [moment[2] for moment in moments if moment[0] <= self.scene.begin and moment[1] == 0]
        self.ticks = {half: -1 for half in before}
        self.last = len(kept)
        self.events, self.beats = [], []
        beats = iter(self.scene.beats)
        for tick, (_, kind, what) in enumerate(kept, 1):
            if kind == 0:
                self.ticks[what] = tick
            elif what is None:
                self.beats.append((tick, next(beats)[1]))
            else:
                self.events.append(what | {"at": tick})

    def span(self, call):
        """Before the scene: -1. Not ended when the scene ends: one more than its last moment."""
        return call.begin, self.last + 1 if call.end is None else call.end

    def sleeps(self, call):
        """Across a rest; or, for all, while another thread was at work."""
        begin, end = self.span(call)
        if any(begin < rest < end for rest in self.rests):
            return True
        others = sum(1 for other in self.calls if other.thread != call.thread and begin < other.begin < end)
        return call.name in WAITS and others >= 2

    def name_threads(self):
        by_thread = {}
        for call in self.calls:
            by_thread.setdefault(call.thread, []).append(call)
        accepting = [thread for thread, calls in by_thread.items() if any("ccept" in call.name for call in calls)]
        order = sorted(by_thread, key=lambda thread: (thread not in accepting or len(accepting) > 1, thread))
        self.thread_ids = order
        self.names = []
        workers = 0
        for thread in order:
            waits = any(call.name in ("epoll_wait", "GetQueuedCompletionStatus") for call in by_thread[thread])
            clients = sorted({call.client for call in by_thread[thread] if call.client and call.name in ("recv", "send")})
            if len(order) == 1:
                self.names.append("the thread")
            elif waits:
                workers += 1
                self.names.append(f"worker {workers}")
            elif thread in accepting:
                self.names.append("main thread")
            else:
                self.names.append(f"{clients[0]}’s thread")
        if "worker 1" not in self.names and len(order) > 1:  # in the order of the clients' lanes
            pairs = sorted(zip(self.names, order), key=lambda pair: self.rank(pair[0]))
            self.names, self.thread_ids = [name for name, _ in pairs], [thread for _, thread in pairs]

    @staticmethod
    def rank(name):
        return -1 if name == "main thread" else CLIENTS.index(name.split("’")[0])

    def thread_index(self, call):
        return self.thread_ids.index(call.thread)

    def steps(self):
        steps = []
        for step in self.scene.steps:
            rests = [tick for tick, beat in self.beats if beat["step"] == step["number"]]
            begin = steps[-1]["end"] if steps else 0
            steps.append(step | {"begin": begin, "end": rests[-1]})
        return steps

    def rest_of_beats(self):
        beats, begin = [], 0
        for tick, beat in self.beats:
            threads = []
            for index, thread in enumerate(self.thread_ids):
                for call in self.calls:
                    if call.thread == thread and call.begin < tick < self.span(call)[1]:
                        threads.append({"thread": index, "call": call.name, "for": self.sleeps_for(call)})
            beats.append({**beat, "begin": begin, "end": tick, "asleep": threads, "program": self.in_program(tick),
                          "kernel": self.kernel_at(tick)})
            begin = tick
        return beats

    def sleeps_for(self, call):
        return "all" if call.name in WAITS else call.client

    def in_program(self, tick):
        """What the sketch has taken from a client and not given back."""
        held = {}
        for call in self.calls:
            sign = {"received": 1, "sent": -1, "completed": -1}.get(call.effect, 0)
            if call.end is not None and call.end < tick and sign and call.bytes:
                held[call.client] = held.get(call.client, 0) + sign * call.bytes
        return {client: count for client, count in held.items() if count}

    def changes(self):
        """(tick, client, state): what the kernel does for a client from this tick on."""
        changes = [(event["at"], event["client"], "backlog") for event in self.events if event["act"] == "connects"]
        for call in self.calls:
            if call.effect == "accepted":
                changes.append((call.end, call.client, None))
            if call.watched:
                changes += [(call.begin, client, state) for client, state in call.watched]
                changes += [(min(self.span(call)[1], self.last), client, None) for client, _ in call.watched]
            at = call.begin if call.name in ("WSARecv", "WSASend") else call.end
            changes += [(at, client, state) for client, state in call.changes if at is not None and client]
        return sorted(changes, key=lambda change: change[0])

    def kernel(self):
        """Each thing the kernel does for a client for so long that a rest lies in it."""
        periods, open_periods = [], {}
        for tick, client, state in self.changes() + [(self.last, client, None) for client in CLIENTS]:
            if client in open_periods:
                begin, was = open_periods[client]
                if was == state:
                    continue
                del open_periods[client]
                if any(begin < rest < tick for rest in self.rests):
                    periods.append({"client": client, "state": was, "begin": begin, "end": tick,
                                    "text": self.kernel_text(was)})
            if state:
                open_periods[client] = (tick, state)
        return sorted(periods, key=lambda period: (CLIENTS.index(period["client"]), period["begin"]))

    def kernel_text(self, state):
        if state == "backlog":
            return "in the backlog: connected, not accepted yet"
        if state in ("receive", "send"):
            return f"a {state} under way"
        word = "armed once" if getattr(self.reader, "one_shot", False) else "watched"
        return f"{word}: may it be {'read' if state == 'read' else 'written'}?"

    def kernel_at(self, tick):
        return {period["client"]: period["state"] for period in self.kernel() if period["begin"] < tick < period["end"]}

    def clients(self):
        clients = []
        for name in CLIENTS:
            events = [{key: event[key] for key in ("at", "act", "bytes", "text")}
                      for event in self.events if event["client"] == name]
            waits, asked = [], None
            for event in events:
                if event["act"] == "sends" and name == "quick":
                    asked = event["at"]
                elif event["act"] == "echo":
                    waits.append({"begin": asked, "end": event["at"]})
            clients.append({"name": name, "events": events, "waits": waits})
        return clients

    def threads(self):
        threads = []
        for index, (name, thread) in enumerate(zip(self.names, self.thread_ids)):
            calls = [call for call in self.calls if call.thread == thread]
            threads.append({"name": name, "intervals": self.intervals(calls)})
        return threads

    def intervals(self, calls):
        intervals, work = [], []
        for call in calls:
            if self.sleeps(call):
                intervals += self.work(work, call.begin)
                begin, end = max(call.begin, 0), min(self.span(call)[1], self.last)
                intervals.append({"begin": begin, "end": end, "state": "asleep", "for": self.sleeps_for(call),
                                  "call": call.name})
                work = [(end, None)]
                if call.name in WAITS:
                    work[0] = (end, call.client)
            else:
                work.append((call.begin, call.client))
        last = calls[-1]
        return intervals + (self.work(work, last.end) if last.end is not None and not self.sleeps(last) else [])

    @staticmethod
    def work(calls, end):
        """Work between two sleeps, by client. A call that is for all belongs to the client that comes next."""
        pieces, following = [], None
        for begin, client in reversed(calls):
            following = client or following
            pieces.insert(0, [begin, following])
        known = next((client for _, client in reversed(pieces) if client), None)
        merged = []
        for begin, client in pieces:
            client = client or known
            if client and (not merged or merged[-1]["for"] != client):
                if merged:
                    merged[-1]["end"] = begin
                merged.append({"begin": begin, "end": end, "state": "work", "for": client})
        return [piece for piece in merged if piece["begin"] < piece["end"]]

    def arrows(self):
        arrows = []
        for event in self.events:
            reads = event["act"] in ("reads", "echo")
            kind = {"connects": "connection", "leaves": "end"}.get(event["act"], "bytes")
            arrows.append({"at": event["at"], "client": event["client"], "from": "kernel" if reads else "client",
                           "to": "client" if reads else "kernel", "kind": kind})
        for begin, rest in zip(self.rests, self.rests[1:]):
            seen = {}
            for call in self.calls:
                at = call.begin if call.effect == "sent" else call.end
                if at is None or not begin < at < rest or call.effect not in ("accepted", "received", "ended", "sent"):
                    continue
                if call.effect == "sent" or (call.client, call.effect) not in seen:
                    seen[call.client, call.effect] = self.thread_arrow(call, at)
            arrows += seen.values()
        return sorted(arrows, key=lambda arrow: arrow["at"])

    def thread_arrow(self, call, at):
        up = call.effect == "sent"
        kind = {"accepted": "connection", "ended": "end"}.get(call.effect, "bytes")
        return {"at": at, "client": call.client, "from": "thread" if up else "kernel",
                "to": "kernel" if up else "thread", "thread": self.thread_index(call), "kind": kind}

    def texts(self):
        """What a thread did in a step, for a picture: calls of one kind for one client taken together."""
        texts = []
        for step in self.json["steps"]:
            for index, thread in enumerate(self.thread_ids):
                groups, client = {}, None
                for call in reversed([call for call in self.calls if call.thread == thread]):
                    client = call.client or client
                    if call.end is not None and step["begin"] < call.end <= step["end"]:
                        groups.setdefault((client, call.family), []).insert(0, call)
                for (client, family), calls in sorted(groups.items(), key=lambda group: group[1][0].end):
                    texts.append({"step": step["number"], "thread": index, "client": client,
                                  "text": group_text(family, calls)})
        return texts

    def call_json(self, call):
        fields = {"thread": self.thread_index(call), "call": call.name, "client": call.client,
                  "begin": max(call.begin, 0), "end": call.end, "text": call.text}
        return fields | ({"bytes": call.bytes} if call.bytes else {})


def group_text(family, calls):
    """The colour says for which client, and the kernel's pill what is watched."""
    if family.startswith("packet of"):
        return calls[0].text if len(calls) == 1 else f"packets ×{len(calls)}"
    if len(calls) > 1:
        count = sum(call.bytes for call in calls)
        return f"{family} ×{len(calls)}" + (f", {size_text(count)}" if count else "")
    said_elsewhere = family in ("select", "epoll_wait", "WSAAccept") or family.startswith("epoll_ctl")
    return family if said_elsewhere else calls[0].text


def to_text(recording):
    """One line for each element of a list: a recording can be read, and compared line by line."""
    lines = []
    for key, value in recording.items():
        if isinstance(value, list):
            rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in value)
            lines.append(f" {json.dumps(key)}: [\n  {rows}\n ]")
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def record(program):
    windows = program.endswith(".exe")
    with tempfile.TemporaryDirectory() as folder:
        traced = (Wine if windows else Strace)(Path(folder))
        try:
            traced.run(program)
            scene = Scene(traced)
        finally:
            traced.stop()
        if keep := os.environ.get("LADDER_PICTURES_TRACE"):
            shutil.copy(traced.trace, keep)
        ports = {client.port: name for name, client in scene.clients.items()}
        reader = Windows(scene.clients) if windows else Posix(ports)
        return Recording(program, scene, traced.halves(scene.boundary), reader, traced.system()).json


def main():
    parser = argparse.ArgumentParser(description="Records the scene of a picture.")
    parser.add_argument("program", help="a sketch, such as build/linux/bin/03_select_sketch")
    parser.add_argument("output", help="the recording, such as 03_select/pictures/sketch.json")
    arguments = parser.parse_args()
    for tool in ["unshare"] + (["wine", "wineserver"] if arguments.program.endswith(".exe") else ["strace"]):
        if not shutil.which(tool):
            missing(f"{tool} is not installed")
    enter_namespace()
    recording = to_text(record(str(Path(arguments.program).resolve())))
    Path(arguments.output).parent.mkdir(parents=True, exist_ok=True)
    Path(arguments.output).write_text(recording, encoding="utf-8")


if __name__ == "__main__":
    main()
