"""What the recordings of the sketches must say.

    tests/pictures/pictures.py committed              the recordings and pictures of the repository
    tests/pictures/pictures.py recorded [TIMES]       new ones, of build/linux and build/windows-cross

It asserts order and sleep alone: no size, no count of calls, no number of a worker, no duration.
"""

import copy
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs" / "pictures"))

import draw  # noqa: E402

PROGRAMS = tuple(draw.TITLES)
SKIPPED = 77


def place_of(program):
    """The recording of a program."""
    rung, sketch = program.split("_sketch")
    return ROOT / rung / "pictures" / f"sketch{sketch}.json"


class Wrong(Exception):
    pass


def need(condition, what):
    if not condition:
        raise Wrong(what)


# --- What holds on every rung ---------------------------------------------------------------------------------------


def beats_of(recording):
    """Each rest, with the clients that are connected then and what slow is owed."""
    connected = set()
    for beat in recording["beats"]:
        if beat["act"] == "connects":
            connected.add(beat["client"])
        elif beat["act"] == "leaves":
            connected.discard(beat["client"])
        yield beat, set(connected), beat["program"].get("slow", 0) > 0


def events_of(recording, name):
    return next(client["events"] for client in recording["clients"] if client["name"] == name)


def event(recording, name, act):
    return next(each["at"] for each in events_of(recording, name) if each["act"] == act)


def whole(recording):
    need(all(recording["whole"].values()), f"not every byte has returned: {recording['whole']}")
    read = sum(each["bytes"] for each in events_of(recording, "slow") if each["act"] == "reads")
    sent = sum(each["bytes"] for each in events_of(recording, "slow") if each["act"] == "sends")
    need(read == sent > 0, f"slow has sent {sent} bytes and read {read}")
    said, echoed = ([each["bytes"] for each in events_of(recording, "quick") if each["act"] == act]
                    for act in ("sends", "echo"))
    need(said == echoed and len(said) == 3, f"quick has said {said} and heard {echoed}")


def scene(recording):
    need([step["number"] for step in recording["steps"]] == list(range(1, 9)), "the scene has eight steps")
    owed = [owed for _, _, owed in beats_of(recording)]
    need(any(owed), "slow was never owed anything: the buffers have taken all")
    for beat, connected, _ in beats_of(recording):
        waiting = sum(state == "backlog" for state in beat["kernel"].values())
        need(beat["backlog"] == waiting, f"step {beat['step']}: {beat['backlog']} in the backlog, {waiting} not accepted")
        need(set(beat["kernel"]) | set(beat["held"]) <= connected, f"step {beat['step']}: the kernel holds what has gone")


def answered_in_its_beat(recording):
    for one, echo in zip(*([each["at"] for each in events_of(recording, "quick") if each["act"] == act]
                           for act in ("sends", "echo"))):
        need(any(beat["begin"] < one < echo < beat["end"] for beat in recording["beats"]), "an echo came in a later beat")
    for beat in recording["beats"]:
        need(beat["backlog"] == 0, f"step {beat['step']}: somebody is in the backlog")


def asleep(beat, recording):
    """{thread: (call, for)} at a rest."""
    return {recording["threads"][each["thread"]]["name"]: (each["call"], each["for"]) for each in beat["asleep"]}


def all_asleep_in(recording, calls):
    """Each thread, at each rest, for all; and nowhere else in between."""
    for beat in recording["beats"]:
        need(len(beat["asleep"]) == len(recording["threads"]), f"step {beat['step']}: a thread sleeps in no known call")
    for thread in recording["threads"]:
        for each in thread["intervals"]:
            need(each["state"] == "work" or each["for"] == "all" and each["call"] in calls,
                 f"{thread['name']} sleeps in {each.get('call')} for {each['for']}")


# --- What holds on one ----------------------------------------------------------------------------------------------


def blocking(recording):
    need(len(recording["threads"]) == 1, "there is one thread")
    gone = max(event(recording, name, "leaves") for name in ("slow", "silent"))
    need(event(recording, "quick", "echo") > gone, "quick was answered while slow or silent was there")
    sleeps = []
    for beat in recording["beats"]:
        need(len(beat["asleep"]) == 1, f"step {beat['step']}: the thread sleeps in no known call")
        place = (beat["asleep"][0]["call"], beat["asleep"][0]["for"])
        if sleeps[-1:] != [place]:
            sleeps.append(place)
    need(sleeps == [("recv", "slow"), ("send", "slow"), ("recv", "slow"), ("recv", "silent"), ("recv", "quick"),
                    ("accept", "all")], f"the sleeps are {sleeps}")


def thread_per_connection(recording):
    answered_in_its_beat(recording)
    for beat, connected, owed in beats_of(recording):
        expected = {f"{name}’s thread": ("send" if name == "slow" and owed else "recv", name) for name in connected}
        expected["main thread"] = ("accept", "all")
        need(asleep(beat, recording) == expected, f"step {beat['step']}: {asleep(beat, recording)}, not {expected}")


def watched(recording):
    """Slow for writing alone while it is owed bytes, everybody else for reading."""
    for beat, connected, owed in beats_of(recording):
        expected = {name: "write" if name == "slow" and owed else "read" for name in connected}
        need(beat["kernel"] == expected, f"step {beat['step']}: watched are {beat['kernel']}, not {expected}")


def readiness(call):
    def holds(recording):
        answered_in_its_beat(recording)
        all_asleep_in(recording, {call})
        watched(recording)
    return holds


def completion(recording):
    answered_in_its_beat(recording)
    all_asleep_in(recording, {"WSAAccept", "GetQueuedCompletionStatus"})
    for beat, connected, owed in beats_of(recording):
        expected = {name: "send" if name == "slow" and owed else "receive" for name in connected}
        need(beat["kernel"] == expected, f"step {beat['step']}: outstanding are {beat['kernel']}, not {expected}")
    for beat in recording["beats"]:
        if beat["client"] == "quick" and beat["act"].startswith("says"):
            packets = [call for call in recording["calls"] if call["call"] == "GetQueuedCompletionStatus" and
                       call["client"] == "quick" and call["end"] and beat["begin"] < call["end"] < beat["end"]]
            need(len(packets) == 2, f"step {beat['step']}: {len(packets)} packets for an echo")


RULES = {"01_blocking_sketch": blocking, "02_thread_per_conn_sketch": thread_per_connection,
         "03_select_sketch": readiness("select"), "04_iocp_sketch": completion,
         "05_epoll_sketch": readiness("epoll_wait"), "05_epoll_sketch_pool": readiness("epoll_wait")}


def holds(program, recording):
    whole(recording)
    scene(recording)
    RULES[program](recording)
    need(recording["sentence"] == draw.sentence(recording), "the sentence is not what the events say")


# --- The tests ------------------------------------------------------------------------------------------------------


def refuses(program, recording, what):
    try:
        holds(program, recording)
    except (Wrong, StopIteration, KeyError):
        return
    raise Wrong(f"the rules of {program} accept {what}")


def rules_refuse(recordings):
    """A rule that accepts anything is none: each rung's refuse the other rungs', and recordings with one thing wrong."""
    for program in PROGRAMS:
        for other in PROGRAMS:
            if program[:2] != other[:2]:
                refuses(program, recordings[other], f"the recording of {other}")
        for what, change in (("a lost byte", lambda it: it["whole"].update(slow=False)),
                             ("somebody in the backlog", lambda it: it["beats"][-1].update(backlog=1)),
                             ("a sleep in no known call", lambda it: it["beats"][4]["asleep"].pop()),
                             ("another sentence", lambda it: it.update(sentence="quick waits for nobody"))):
            wrong = copy.deepcopy(recordings[program])
            change(wrong)
            refuses(program, wrong, what)


def committed():
    recordings = {program: json.loads(place_of(program).read_text(encoding="utf-8")) for program in PROGRAMS}
    for program, recording in recordings.items():
        need(recording["program"] == program, f"{place_of(program)} is a recording of {recording['program']}")
        check(program, recording)
        picture = place_of(program).with_suffix(".svg")
        need(draw.draw(recording) == picture.read_text(encoding="utf-8"),
             f"{picture.relative_to(ROOT)} is not what docs/pictures/draw.py makes of its recording")
        chapter = (ROOT / recording["rung"] / "README.md").read_text(encoding="utf-8")
        need(f"](pictures/{picture.name})" in chapter, f"{recording['rung']}/README.md does not show {picture.name}")
    rules_refuse(recordings)


def check(program, recording):
    try:
        holds(program, recording)
    except Wrong as wrong:
        raise Wrong(f"{program}: {wrong}") from None


def record(program, folder):
    """A new recording; None: this machine lacks what it needs, and has said so."""
    windows = program.startswith("04")
    binary = ROOT / "build" / ("windows-cross/bin" if windows else "linux/bin") / (program + ".exe" * windows)
    if not binary.exists():
        print(f"skipped: {program} is not built")
        return None
    output = folder / f"{program}.json"
    status = subprocess.run([sys.executable, ROOT / "docs" / "pictures" / "record.py", binary, output]).returncode
    if status == SKIPPED:
        return None
    need(status == 0, f"{program}: record.py ended with status {status}")
    return json.loads(output.read_text(encoding="utf-8"))


def recorded(times):
    done = 0
    with tempfile.TemporaryDirectory() as folder:
        for program in PROGRAMS * times:
            if recording := record(program, Path(folder)):
                try:
                    check(program, recording)
                    draw.draw(recording)
                except Exception:
                    kept = shutil.copy(Path(folder) / f"{program}.json", ROOT / "build")
                    print(f"{program}: the recording is kept as {kept}")
                    raise
                done += 1
    print(f"{done} recordings say what they must")
    return 0 if done else SKIPPED


def main():
    try:
        if sys.argv[1:] == ["committed"]:
            return committed()
        if sys.argv[1:2] == ["recorded"]:
            return recorded(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    except Wrong as wrong:
        return f"wrong: {wrong}"
    return __doc__


if __name__ == "__main__":
    sys.exit(main())
