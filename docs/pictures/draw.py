#!/usr/bin/env python3
"""Draws a recording as SVG. The same recording gives the same bytes.

    docs/pictures/draw.py 03_select/pictures/sketch.json 03_select/pictures/sketch.svg

Without names: every */pictures/sketch*.json of the repository, each to the .svg beside it.
"""

import json
import sys
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ("slow", "silent", "quick")
WIDTH, MARGIN, LEFT, RIGHT = 980, 14, 102, 968
SIZE, LINE = 11, 13.5  # of most texts: the font's size, and from one line to the next
LANE, BAR, PILL = 34, 20, 18  # heights: a client's lane, a thread's bar, a kernel's pill
HELD = 14  # the same of the largest bar of bytes
MOST = 260_000  # bytes that are drawn HELD high

TITLES = {
    "01_blocking_sketch": "01 blocking: one thread, asleep for one client at a time",
    "02_thread_per_conn_sketch": "02 a thread per connection: each asleep for its own client",
    "03_select_sketch": "03 select: one thread, asleep in one call for all",
    "04_iocp_sketch": "04 completion port: the kernel works, the workers are told “it is done”",
    "05_epoll_sketch": "05 epoll: one thread, asleep in one call; the kernel keeps the list",
    "05_epoll_sketch_pool": "05 epoll, a pool: all workers asleep on one list, and each event goes to one of them",
}

# --- What the picture says in words ---------------------------------------------------------------------------------


def title(recording):
    return TITLES[recording["program"]]


def sentence(recording):
    """When quick is answered, and what the threads do meanwhile: said by the events, not by us."""
    asked, answered = (step_of(recording, event["at"]) for event in asked_and_answered(recording))
    beats = recording["beats"]
    said = next(place for place, beat in enumerate(beats) if beat["client"] == "quick" and beat["step"] == asked
                and beat["act"].startswith("says"))
    if asked != answered:
        until = next(place for place, beat in enumerate(beats) if beat["step"] == answered)
        return (f"quick asks in step {asked} and is answered in step {answered}: "
                f"until then {the_threads(recording)} {sleep_list(beats[said:until])}.")
    begin = f"quick asks and is answered in step {asked}: "
    for_one = [each for each in beats[said]["asleep"] if each["for"] not in ("all", "quick")]
    if for_one:
        places = " and ".join(f"in {each['call']} for {each['for']}" for each in for_one)
        return begin + f"other threads sleep {places}, and hold up nobody else."
    return begin + for_all(recording, beats[said])


def asked_and_answered(recording):
    events = next(client["events"] for client in recording["clients"] if client["name"] == "quick")
    return (next(event for event in events if event["act"] == act) for act in ("sends", "echo"))


def step_of(recording, tick):
    return next(step["number"] for step in recording["steps"] if tick <= step["end"])


def the_threads(recording):
    return "the one thread sleeps" if len(recording["threads"]) == 1 else "the threads sleep"


def sleep_list(beats):
    places = []
    for beat in beats:
        for each in beat["asleep"]:
            place = f"in {each['call']} for {each['for']}"
            if place not in places:
                places.append(place)
    return ", then ".join(places)


def for_all(recording, beat):
    states = beat["kernel"]
    calls = sorted({each["call"] for each in beat["asleep"]} - {"accept", "WSAAccept"})
    if "receive" in states.values():
        operations = " and ".join(f"a {states[name]} for {name}" for name in ("slow", "silent"))
        return f"no thread sleeps for slow or silent. The kernel has {operations} under way."
    whose = "the one thread sleeps" if len(recording["threads"]) == 1 else "all workers sleep"
    ways = {"read": "for reading", "write": "for writing"}
    watched = ", ".join(f"{name} {ways[states[name]]}" for name in ("slow", "silent"))
    watches = "watches" if len(recording["threads"]) == 1 else "watch"
    return f"{whose} in {' and '.join(calls)}, for all, and {watches} {watched}."


def description(recording):
    """For somebody who cannot see it: each step, and where each thread sleeps after it."""
    parts = [sentence(recording)]
    for step in recording["steps"]:
        beat = [beat for beat in recording["beats"] if beat["step"] == step["number"]][-1]
        sleepers = "; ".join(f"{recording['threads'][each['thread']]['name']} in {each['call']}"
                             f" for {each['for']}" for each in beat["asleep"])
        parts.append(f"Step {step['number']}, {step['client']} {step['text']}. Then asleep: {sleepers}.")
    return " ".join(parts)


# --- How wide a text is: the advances of DejaVu Sans, wider than what most readers have -----------------------------

REGULAR = dict(zip(map(chr, range(32, 127)), (
    32, 40, 46, 84, 64, 95, 78, 27, 39, 39, 50, 84, 32, 36, 32, 34, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 34, 34,
    84, 84, 84, 53, 100, 68, 69, 70, 77, 63, 58, 77, 75, 29, 29, 66, 56, 86, 75, 79, 60, 79, 69, 63, 61, 73, 68, 99,
    69, 61, 69, 39, 34, 39, 84, 50, 50, 61, 63, 55, 63, 62, 35, 63, 63, 28, 28, 58, 28, 97, 63, 61, 63, 63, 41, 52,
    39, 63, 59, 82, 59, 59, 52, 64, 34, 64, 84)), **{"→": 84, "×": 84, "“": 52, "”": 52, "’": 32, "·": 32, "↓": 84, "↑": 84, "\u00a0": 32})


def width(text, size=SIZE, bold=False):
    return sum(REGULAR.get(letter, 84) for letter in text) * size / 100 * (1.18 if bold else 1)


def wrap(text, room, first=0, **font):
    """Lines that are no wider than the room; the first one begins `first` further right."""
    lines, used = [], first
    for word in text.split(" "):
        size = width(word, **font)
        space = width(" ", **font)
        if lines and used + space + size <= room:
            lines[-1] += " " + word
            used += space + size
        elif not lines:
            lines, used = [word], first + size
        else:
            lines.append(word)
            used = size
    return lines


def header(step):
    return f"{step['client']} {step['text']}".replace(" kB", "\u00a0kB")


def fitting(variants, room, margin=8):
    return next((text for text in variants if width(text) + margin <= room), None)


# --- Where each moment stands ---------------------------------------------------------------------------------------


def most(fits, high):
    """The largest number from 0 to `high` that fits, or about 0."""
    low = 0.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


class Places:
    """x of each tick. To the right is later, as far as the texts need: a demand is a least distance of two ticks."""

    def __init__(self, recording):
        self.recording = recording
        self.demands = {}
        self.gaps = self.least_gaps()
        self.for_columns()
        self.for_labels()
        self.for_work()
        if self.place(0, 1)[-1] <= RIGHT:
            rest = most(lambda rest: self.place(rest, 1)[-1] <= RIGHT, RIGHT)
            self.x = self.place(rest, 1)  # the rests get what is left
        else:
            self.x = self.place(0, most(lambda scale: self.place(0, scale)[-1] <= RIGHT, 1))
        if self.x[-1] > RIGHT:  # texts alone are wider than the picture
            self.x = [LEFT + (x - LEFT) * (RIGHT - LEFT) / (self.x[-1] - LEFT) for x in self.x]

    def __getitem__(self, tick):
        return self.x[tick]

    def demand(self, begin, end, least):
        self.demands.setdefault(end, []).append((begin, least))

    def place(self, rest, scale):
        x = [float(LEFT)]
        rests = {beat["end"] for beat in self.recording["beats"]}
        for tick in range(1, self.recording["end"] + 1):
            at = x[-1] + self.gaps[tick] * scale + (rest if tick in rests else 0)
            x.append(max([at] + [x[begin] + least for begin, least in self.demands.get(tick, [])]))
        return x

    def least_gaps(self):
        events = {event["at"]: event["act"] for client in self.recording["clients"] for event in client["events"]}
        gaps = [0.0] * (self.recording["end"] + 1)
        for beat in self.recording["beats"]:
            server = [tick for tick in range(beat["begin"] + 1, beat["end"]) if tick not in events]
            for tick in range(beat["begin"] + 1, beat["end"] + 1):
                if tick in events or tick == beat["end"]:
                    gaps[tick] = 10.0
                else:
                    gaps[tick] = 12.0 if tick == server[0] else min(5.0, 60 / len(server))
        return gaps

    def for_columns(self):
        for step in self.recording["steps"]:
            words = header(step).split(" ")
            need = 10 + max([20 + width(words[0], bold=True)] + [width(word, bold=True) for word in words])
            while len(wrap(" ".join(words), need - 8, first=20, bold=True)) > 3:
                need += 2
            texts = [width(text["text"]) + 9 for text in self.recording["texts"] if text["step"] == step["number"]]
            self.demand(step["begin"], step["end"], max([need] + texts))

    def for_labels(self):
        for client in self.recording["clients"]:
            for below in (False, True):
                row = [event for event in client["events"] if (event["act"] == "echo") == below]
                for one, next_one in zip(row, row[1:]):
                    self.demand(one["at"], next_one["at"], width(one["text"]) + 7)
                if row:
                    self.demand(row[-1]["at"], self.recording["end"], width(row[-1]["text"]) + (5 if below else -4))

    def for_work(self):
        short = [beat for beat in self.recording["beats"] if beat["end"] - beat["begin"] <= 16]
        for thread in self.recording["threads"]:
            for each in thread["intervals"]:
                if each["state"] == "work" and any(beat["begin"] <= each["begin"] < beat["end"] for beat in short):
                    self.demand(each["begin"], each["end"], 10)
        down = {}
        for arrow in self.recording["arrows"]:
            if arrow["from"] == "kernel" and "thread" in arrow:
                down[arrow["client"]] = arrow["at"]
            elif arrow["from"] == "thread" and down.get(arrow["client"], arrow["at"]) < arrow["at"]:
                self.demand(down[arrow["client"]], arrow["at"], 9)


# --- The drawing ----------------------------------------------------------------------------------------------------

STYLE = """
text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }
text { font-size: 11px; }
.title { font-size: 17px; font-weight: 700; } .sentence { font-size: 12.5px; } .bold { font-weight: 700; }
.middle { text-anchor: middle; } .number { font-weight: 700; text-anchor: middle; }
.over { paint-order: stroke; stroke-width: 3.5px; stroke-linejoin: round; }
.line { fill: none; stroke-width: 1.4; } .dash { stroke-dasharray: 4 3; } .held { opacity: .45; }
.pill { stroke-width: 1.2; } .rest { stroke-width: 1; } .hatch { stroke-width: 1.6; }
"""
LIGHT = {"paper": "#ffffff", "ink": "#1f2328", "soft": "#59636e", "rule": "#d1d9e0", "band": "#f3f5f8", "grey": "#8c959f",
         "greypale": "#eceff3", "greyhatch": "#c2cad3", "slow": "#bc4c00", "slowpale": "#fff1e5", "slowhatch": "#f9bd8d",
         "silent": "#8250df", "silentpale": "#fbefff", "silenthatch": "#d6b8fb", "quick": "#0969da", "quickpale": "#ddf4ff",
         "quickhatch": "#80c6ff"}
DARK = {"paper": "#0d1117", "ink": "#e6edf3", "soft": "#9da7b1", "rule": "#30363d", "band": "#161b22", "grey": "#6e7781",
        "greypale": "#1c2128", "greyhatch": "#444c56", "slow": "#f0883e", "slowpale": "#2d1708", "slowhatch": "#8f4a14",
        "silent": "#b18cff", "silentpale": "#221640", "silenthatch": "#5e43a3", "quick": "#58a6ff", "quickpale": "#0b2242",
        "quickhatch": "#2562ab"}


def style():
    def rules(colours):
        lines = [f".f-{name} {{ fill: {value}; }} .s-{name} {{ stroke: {value}; }}" for name, value in colours.items()]
        return "\n".join(lines + [f".over {{ stroke: {colours['paper']}; }}"])

    return f"<style>{STYLE}{rules(LIGHT)}\n@media (prefers-color-scheme: dark) {{\n{rules(DARK)}\n}}\n</style>"


def number(value):
    return f"{value:.1f}".removesuffix(".0")


class Picture:
    def __init__(self, recording):
        self.recording, self.parts, self.texts = recording, [], []
        self.name = recording["program"]  # ids are unique where a page holds several pictures
        self.x = Places(recording)
        self.heads = sentence_lines = wrap(sentence(recording), WIDTH - 2 * MARGIN, size=12.5)
        self.top = 50 + 16 * len(sentence_lines)  # of the steps' headers
        self.headers = {step["number"]: self.header(step) for step in recording["steps"]}
        self.lanes_top = self.top + max(map(len, self.headers.values())) * LINE + 18
        self.kernel_top = self.lanes_top + LANE * len(CLIENTS) + 4
        self.place_rows()
        self.place_threads()

    # Elements. Texts come last, so that no line crosses one out.

    def add(self, element):
        self.parts.append(element)

    def text(self, x, y, text, classes):
        self.texts.append(f'<text x="{number(x)}" y="{number(y)}" class="{classes}">{escape(text)}</text>')

    def rect(self, x, y, wide, high, classes, radius=0):
        rounded = f' rx="{number(radius)}"' if radius else ""
        self.add(f'<rect x="{number(x)}" y="{number(y)}" width="{number(max(wide, 0))}" height="{number(high)}"{rounded}'
                 f' class="{classes}"/>')

    def line(self, x1, y1, x2, y2, classes):
        self.add(f'<path d="M{number(x1)} {number(y1)}L{number(x2)} {number(y2)}" class="{classes}"/>')

    def arrow(self, x, y1, y2, colour, dashed):
        """Vertical, from y1 to y2, where its head is."""
        back = 6 if y2 > y1 else -6
        self.line(x, y1, x, y2 - back, f"line s-{colour}" + (" dash" if dashed else ""))
        self.add(f'<path d="M{number(x)} {number(y2)}l-3.6 {number(-back * 1.2)}h7.2z" class="f-{colour}"/>')

    def hatched(self, x, y, wide, high, who, stroke=None):
        self.rect(x, y, wide, high, f"f-{who}pale")
        self.add(f'<rect x="{number(x + 0.5)}" y="{number(y + 0.5)}" width="{number(max(wide - 1, 0))}" '
                 f'height="{number(high - 1)}" fill="url(#{self.name}-{who})" class="rest s-{stroke or who}"/>')

    # Places from top to bottom.

    def place_rows(self):
        """The kernel's row of each client, with room for its bars of bytes."""
        self.row, self.half, y = {}, {}, self.kernel_top + 5
        for name in CLIENTS:
            bars = HELD + 3 if any(self.held(beat, name) >= 1000 for beat in self.recording["beats"]) else 2
            pills = any(period["client"] == name for period in self.recording["kernel"])
            self.half[name] = PILL / 2 if pills else 1
            self.row[name] = y + bars + self.half[name]
            y += 2 * (bars + self.half[name]) + 6 + (0 if pills else 8)
        self.kernel_bottom = y + 1

    def edge(self, name, tick):
        """How far above and below the middle of its row a client's arrow ends: at a pill, or at the line."""
        inside = any(period["client"] == name and period["begin"] <= tick <= period["end"]
                     for period in self.recording["kernel"])
        return PILL / 2 if inside else 1

    @staticmethod
    def held(beat, name):
        return max(beat["held"].get(name, {"": 0}).values())

    def place_threads(self):
        """The bar of each thread that has worked: on a machine with many cores most workers of a pool never do."""
        self.bar, y = {}, self.kernel_bottom + 12
        for index, thread in enumerate(self.recording["threads"]):
            if not any(each["state"] == "work" for each in thread["intervals"]):
                continue
            self.bar[index] = y
            y += BAR + LINE * max(len(self.texts_of(step, index)) for step in self.recording["steps"]) + 14
        self.bottom = y - 4

    def texts_of(self, step, thread):
        return [text for text in self.recording["texts"] if text["step"] == step["number"] and text["thread"] == thread]

    # The layers.

    def draw(self):
        self.draw_grid()
        self.draw_held()
        self.draw_arrows()
        self.draw_lanes()
        self.draw_kernel()
        self.draw_threads()
        self.draw_heads()
        height = self.draw_legend()
        return self.svg(height)

    def svg(self, height):
        patterns = "".join(
            f'<pattern id="{self.name}-{client}" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
            f'<path d="M3 0V7" class="hatch s-{client}hatch"/></pattern>' for client in CLIENTS + ("grey",))
        head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{number(height)}" '
                f'viewBox="0 0 {WIDTH} {number(height)}" role="img" aria-labelledby="{self.name}-title {self.name}-desc">')
        frame = f'<rect x=".5" y=".5" width="{WIDTH - 1}" height="{number(height - 1)}" rx="8" class="f-paper s-rule"/>'
        return "\n".join([head, f'<title id="{self.name}-title">{escape(title(self.recording))}</title>',
                          f'<desc id="{self.name}-desc">{escape(description(self.recording))}</desc>', style(),
                          f"<defs>{patterns}</defs>", frame] + self.parts + self.texts + ["</svg>", ""])

    def draw_grid(self):
        self.rect(1, self.kernel_top, WIDTH - 2, self.kernel_bottom - self.kernel_top, "f-band")
        for step in self.recording["steps"][1:]:
            self.line(self.x[step["begin"]], self.top - 10, self.x[step["begin"]], self.bottom, "line rest s-rule")
        self.text(MARGIN, self.kernel_top + 16, "the kernel", "bold f-ink")
        self.text(MARGIN, self.kernel_top + 29, "holds", "f-soft")

    def draw_heads(self):
        self.text(MARGIN, 26, title(self.recording), "title f-ink")
        for index, line in enumerate(self.heads):
            self.text(MARGIN, 47 + 16 * index, line, "sentence f-ink")
        for step in self.recording["steps"]:
            x = self.x[step["begin"]] + 4
            self.add(f'<circle cx="{number(x + 8)}" cy="{number(self.top)}" r="8" class="f-{step["client"]}"/>')
            self.text(x + 8, self.top + 4, str(step["number"]), "number f-paper")
            for index, line in enumerate(self.headers[step["number"]]):
                self.text(x + (20 if index == 0 else 0), self.top + 4 + LINE * index, line, f"bold f-{step['client']}")

    def header(self, step):
        room = self.x[step["end"]] - self.x[step["begin"]] - 8
        return wrap(header(step), room, first=20, bold=True)

    def lane(self, name):
        return self.lanes_top + LANE * CLIENTS.index(name) + 12

    def draw_lanes(self):
        for client in self.recording["clients"]:
            name, y, events = client["name"], self.lane(client["name"]), client["events"]
            self.text(MARGIN, y + 1, name, f"bold f-{name}")
            self.text(MARGIN, y + 13, "client", "f-soft")
            self.line(self.x[events[0]["at"]], y, self.x[events[-1]["at"]], y, f"line s-{name}")
            for wait in client["waits"]:
                begin, end = self.x[wait["begin"]], self.x[wait["end"]]
                self.hatched(begin, y - 5.5, end - begin, 11, name, "paper")
                if label := fitting(["waits for its echo"], end - begin - 20):
                    self.text((begin + end) / 2, y + 4, label, "middle over f-ink")
            for event in events:
                x = self.x[event["at"]]
                self.add(f'<circle cx="{number(x)}" cy="{number(y)}" r="3.6" class="f-{name}"/>')
                below = event["act"] == "echo"  # beside its arrow
                self.text(x + (5 if below else -3), y + (16 if below else -8), event["text"], "over f-ink")

    def runs(self, name):
        """(first beat, last beat, bytes each way) for as long as the bytes held stay the same."""
        runs = []
        for index, beat in enumerate(self.recording["beats"]):
            held = beat["held"].get(name)
            if runs and runs[-1][2] == held:
                runs[-1][1] = index
            else:
                runs.append([index, index, held])
        return [run for run in runs if run[2] and max(run[2].values()) >= 1000]

    def draw_held(self):
        beats = self.recording["beats"]
        for name in CLIENTS:
            for first, last, held in self.runs(name):
                begin = self.x[beats[first]["end"] - 1]
                end = self.x[min(beats[last]["end"] + 2, self.recording["end"])]
                for way, count in held.items():
                    if count < 1000:
                        continue
                    high = 2 + (HELD - 2) * min(count / MOST, 1)
                    above = way == "to_server"
                    half = self.half[name] + 1
                    edge = self.row[name] + (-half - high if above else half)
                    self.rect(begin, edge, end - begin, high, f"held f-{name}")
                    words = "↓ to the server" if above else f"↑ to {name}"
                    kilobytes = f"{round(count / 1000)} kB"
                    label = fitting([f"{kilobytes} {words}", f"{kilobytes} {words[0]}", kilobytes], end - begin)
                    if label:
                        y = self.row[name] + (-half - 3 if above else half + 10)
                        self.text(begin + 4, y, label, "over f-ink")

    def draw_arrows(self):
        for arrow in self.recording["arrows"]:
            name, x = arrow["client"], self.x[arrow["at"]]
            middle, edge = self.row[name], self.edge(name, arrow["at"])
            if "thread" in arrow:
                ends = middle + edge, self.bar[arrow["thread"]]
            else:
                ends = middle - edge, self.lane(name) + 4
            if arrow["from"] != "kernel":
                ends = ends[::-1]
            self.arrow(x, *ends, name, arrow["kind"] != "bytes")

    def draw_kernel(self):
        for name in CLIENTS:
            ticks = [arrow["at"] for arrow in self.recording["arrows"] if arrow["client"] == name]
            self.line(self.x[ticks[0]], self.row[name], self.x[ticks[-1]] + 10, self.row[name], f"line s-{name}")
        for period in self.recording["kernel"]:
            name, begin, end = period["client"], self.x[period["begin"]], self.x[period["end"]]
            y = self.row[name] - PILL / 2
            dashed = " dash" if period["state"] == "backlog" else ""
            radius = min(PILL, end - begin) / 2
            self.rect(begin, y, end - begin, PILL, f"pill f-{name}pale s-{name}{dashed}", radius)
            if label := fitting(self.pill_labels(period), end - begin, margin=5):
                self.text((begin + end) / 2, self.row[name] + 4, label, "middle f-ink")

    def pill_labels(self, period):
        text = period["text"]
        if period["state"] == "backlog":
            unread = [beat["held"].get(period["client"], {}).get("to_server", 0) for beat in self.recording["beats"]
                      if period["begin"] < beat["end"] < period["end"]]
            more = [f"{text} · its {unread[-1]} B wait here, unread"] if unread and 0 < unread[-1] < 1000 else []
            return more + [text, "in the backlog"]
        if period["state"] in ("receive", "send"):
            return [text, period["state"]]
        return [text, text.split(": ")[1], f"{period['state']}?"]

    def draw_threads(self):
        for index, y in self.bar.items():
            thread = self.recording["threads"][index]
            self.text(MARGIN, y + 14, thread["name"], "bold f-ink")
            for each in thread["intervals"]:
                if each["state"] == "asleep":
                    self.draw_sleep(each, y)
            for begin, end, client in self.work(thread):
                self.rect(begin, y, end - begin, BAR, f"f-{client}")
            for step in self.recording["steps"]:
                for line, text in enumerate(self.texts_of(step, index)):
                    below = y + BAR + 12.5 + LINE * line
                    self.text(self.x[step["begin"]] + 5, below, text["text"], f"over f-{text['client']}")

    def draw_sleep(self, each, y):
        begin, end = self.x[each["begin"]], self.x[each["end"]]
        for_all = each["for"] == "all"
        self.hatched(begin, y, end - begin, BAR, "grey" if for_all else each["for"])
        call = each["call"]
        variants = [f"asleep in {call}, for {each['for']}", f"asleep in {call}", f"in {call}", call]
        if label := fitting(variants, end - begin):
            self.text((begin + end) / 2, y + 14, label, "middle over f-ink")

    def work(self, thread):
        """Pieces of work, at least three pixels wide; those of one client that almost touch are one."""
        pieces = []
        for each in thread["intervals"]:
            if each["state"] == "work":
                begin, end = self.x[each["begin"]], max(self.x[each["end"]], self.x[each["begin"]] + 3)
                if pieces and pieces[-1][2] == each["for"] and begin - pieces[-1][1] < 3:
                    pieces[-1][1] = end
                else:
                    pieces.append([begin, end, each["for"]])
        return pieces

    def draw_legend(self):
        y = self.bottom + 6
        self.line(1, y, WIDTH - 1, y, "line rest s-rule")
        x, y = MARGIN, y + 10
        for draw_sample, words in (
            (lambda: self.rect(x, y, 22, 12, "f-quick"), "a thread at work, for that client"),
            (lambda: self.hatched(x, y, 22, 12, "slow"), "asleep in a call, for one client"),
            (lambda: self.hatched(x, y, 22, 12, "grey"), "asleep for all"),
            (lambda: self.arrow(x + 17, y - 1, y + 13, "soft", False),
             "bytes go this way; dashed: a connection, or its end"),
        ):
            draw_sample()
            self.text(x + 28, y + 10, words, "f-soft")
            x += 28 + width(words) + 16
        program, system = self.recording["program"], self.recording["system"]
        note = (f"Drawn from a trace of a real run ({program}; {system}). "
                "To the right: the order of the events, not their duration. ×n: n calls.")
        if idle := len(self.recording["threads"]) - len(self.bar):
            note += f" Not drawn: threads that slept all the time ({idle})."
        if "04" in program:
            note += " A packet says that a receive or a send is done."
        for line in wrap(note, WIDTH - 2 * MARGIN):
            y += LINE + 2
            self.text(MARGIN, y + 14, line, "f-soft")
        return y + 26


def draw(recording):
    return Picture(recording).draw()


def main():
    if len(sys.argv) == 3:
        pairs = [(Path(sys.argv[1]), Path(sys.argv[2]))]
    elif len(sys.argv) == 1:
        pairs = [(source, source.with_suffix(".svg")) for source in sorted(ROOT.glob("*/pictures/sketch*.json"))]
    else:
        sys.exit(f"usage: {sys.argv[0]} [RECORDING.json PICTURE.svg]")
    for source, target in pairs:
        target.write_text(draw(json.loads(source.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
