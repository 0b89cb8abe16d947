#!/usr/bin/env python3
"""Draws the diagrams of the book: docs/pictures/*.svg, but for those of recorded runs.

    docs/pictures/diagrams.py             writes all of them, beside this file
    docs/pictures/diagrams.py --check     writes nothing; exit 1 and a line each if a file differs, or a name is stale

The first half is a small drawing board, the second half says what is in each picture. Save refuses a picture whose
texts overlap, leave the picture, or are crossed by a line: it measures them with the widths of DejaVu Sans, which is
wider than most system fonts. A name between backticks must occur in the sources that the picture names.
"""
import html
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent

# ---- the drawing board

WIDTH = 980
SANS = 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif'
MONO = 'ui-monospace, "Cascadia Mono", Consolas, Menlo, "DejaVu Sans Mono", monospace'
MONO_SIZE = 0.94  # of the text around it: it looks larger

COLOURS = {  # name: light, dark
    'paper': ('#ffffff', '#0d1117'), 'band': ('#f6f8fa', '#161b22'), 'rule': ('#d1d9e0', '#3d444d'),
    'ink': ('#1f2328', '#e6edf3'), 'muted': ('#59636e', '#9198a1'),
    'grey': ('#818b98', '#7d8590'), 'grey-tint': ('#e9ecf0', '#262c36'),
    'blue': ('#0969da', '#4493f8'), 'blue-tint': ('#ddf4ff', '#10294a'),
    'orange': ('#bc4c00', '#f0883e'), 'orange-tint': ('#fff1e5', '#3b2415'),
    'purple': ('#8250df', '#ab7df8'), 'purple-tint': ('#fbefff', '#2c2046'),
    'green': ('#1a7f37', '#3fb950'), 'green-tint': ('#dafbe1', '#12301d'),
    'red': ('#cf222e', '#f85149'), 'red-tint': ('#ffebe9', '#3d1719'),
}

# Advance widths, in thousandths of the size, of the characters from ' ' to '~'.
REGULAR = [int(n) for n in '''318 401 460 838 636 950 780 275 390 390 500 838 318 361 318 337 636 636 636 636 636 636
636 636 636 636 337 337 838 838 838 531 1000 684 686 698 770 632 575 775 752 295 295 656 557 863 748 787 603 787 695
635 611 732 684 989 685 611 685 390 337 390 838 500 500 613 635 550 635 615 352 635 634 278 278 579 278 974 634 612 635
635 411 521 392 634 592 818 592 592 525 636 337 636 838'''.split()]
BOLD = [int(n) for n in '''348 456 521 838 696 1002 872 306 457 457 523 838 380 415 380 365 696 696 696 696 696 696 696
696 696 696 400 400 838 838 838 580 1000 774 762 734 830 683 683 821 837 372 372 775 637 995 837 850 733 850 770 720
682 812 774 1103 771 724 725 457 365 457 838 500 500 675 716 593 716 678 435 716 712 343 343 665 343 1042 712 687 716
716 493 595 478 712 652 924 645 652 582 712 365 712 838'''.split()]
WIDE = 838  # arrows, ticks, quotes: no one is wider, but '…'


def runs(markup):
    """Splits 'call `recv`, **then**' into (text, kind)."""
    for part in re.split(r'(`[^`]+`|\*\*[^*]+\*\*)', markup):
        if part.startswith('`'):
            yield part[1:-1], 'mono'
        elif part.startswith('**'):
            yield part[2:-2], 'bold'
        elif part:
            yield part, ''


def width(markup, size, bold=False):
    total = 0
    for text, kind in runs(markup):
        if kind == 'mono':
            total += 602 * MONO_SIZE * len(text)
            continue
        table = BOLD if bold or kind == 'bold' else REGULAR
        total += sum(table[ord(c) - 32] if ' ' <= c <= '~' else 1000 if c == '…' else 318 if c == '·' else WIDE
                     for c in text)
    return total * size / 1000


def wrapped(markup, room, size):
    """The lines of a paragraph. A span of code is one word if it has no space."""
    lines, line = [], ''
    for word in markup.split(' '):
        longer = f'{line} {word}' if line else word
        if line and width(longer, size) > room:
            lines.append(line)
            line = word
        else:
            line = longer
    return lines + [line]


def number(n):
    return f'{n:.1f}'.rstrip('0').rstrip('.')


class Picture:
    """One SVG file. Fills lie below lines, and lines below texts."""

    def __init__(self, name, title, sentence, description, sources):
        self.name, self.sources = name, sources
        self.title, self.description = title, ' '.join(description.split())
        self.height = 0  # the legend, which comes last, says it
        self.fills, self.strokes, self.letters = [], [], []
        self.texts, self.edges, self.classes, self.hatches, self.codes = [], [], set(), set(), set()
        self.text(22, 36, title, size=19, bold=True)
        y = 61
        for line in wrapped(sentence, WIDTH - 44, 14.5):
            self.text(22, y, line, size=14.5)
            y += 20

    # what is drawn

    def paint(self, fill=None, stroke=None):
        used = [f'f-{fill}' if fill else 'f-none'] + ([f's-{stroke}'] if stroke else [])
        self.classes.update(used)
        return f'class="{" ".join(used)}"'

    def text(self, x, y, markup, colour='ink', size=13, anchor='start', bold=False, over=None):
        """`over`: the colour of what lies behind it, which then keeps lines away from its letters."""
        w = width(markup, size, bold)
        left = {'start': x, 'middle': x - w / 2, 'end': x - w}[anchor]
        self.texts.append((left, y - 0.76 * size, left + w, y + 0.23 * size, markup, over is not None))
        spans = []
        for part, kind in runs(markup):
            part_text = html.escape(part, quote=False)
            if kind == 'mono':
                self.codes.update(re.findall(r'[A-Za-z_][A-Za-z0-9_]*', part))
                part_text = f'<tspan class="mono" font-size="{number(size * MONO_SIZE)}">{part_text}</tspan>'
            elif kind == 'bold':
                part_text = f'<tspan font-weight="bold">{part_text}</tspan>'
            spans.append(part_text)
        extra = '' if anchor == 'start' else f' text-anchor="{anchor}"'
        extra += ' font-weight="bold"' if bold else ''
        kinds = f'f-{colour}' + (f' halo s-{over}' if over else '')
        self.classes.update(kinds.split())
        self.letters.append(f'<text class="{kinds}" x="{number(x)}" y="{number(y)}" font-size="{number(size)}"{extra}>'
                            f'{"".join(spans)}</text>')
        return left + w

    def lines(self, x, y, markups, colour='ink', size=13, leading=18, anchor='start', over=None):
        for markup in markups:
            self.text(x, y, markup, colour, size, anchor, over=over)
            y += leading
        return y

    def paragraph(self, x, y, room, markup, colour='ink', size=13, leading=18):
        return self.lines(x, y, wrapped(markup, room, size), colour, size, leading)

    def rect(self, x, y, w, h, fill, stroke=None, dashed=False, radius=5, loose=False):
        """`loose`: texts may cross its edge, as they do a band's."""
        dash = ' stroke-dasharray="5 4"' if dashed else ''
        self.fills.append(f'<rect {self.paint(fill, stroke)} x="{number(x)}" y="{number(y)}" width="{number(w)}" '
                          f'height="{number(h)}" rx="{radius}"{dash}/>')
        if not loose:
            corners = [(x, y), (x + w, y), (x + w, y + h), (x, y + h), (x, y)]
            self.edges += list(zip(corners, corners[1:]))

    def line(self, points, colour, dashed=False, thick=1.6, loose=False):
        dash = ' stroke-dasharray="5 4"' if dashed else ''
        path = ' '.join(f'{number(x)},{number(y)}' for x, y in points)
        self.strokes.append(f'<polyline {self.paint(None, colour)} points="{path}" '
                            f'stroke-width="{number(thick)}"{dash}/>')
        if not loose:
            self.edges += list(zip(points, points[1:]))

    def arrow(self, points, colour, dashed=False):
        """Its last stretch is straight along an axis."""
        (x0, y0), (x1, y1) = points[-2:]
        dx, dy = (x1 > x0) - (x1 < x0), (y1 > y0) - (y1 < y0)
        self.line(points[:-1] + [(x1 - 7 * dx, y1 - 7 * dy)], colour, dashed)
        back_x, back_y = x1 - 9 * dx, y1 - 9 * dy
        tip = [(x1, y1), (back_x - 4.5 * dy, back_y - 4.5 * dx), (back_x + 4.5 * dy, back_y + 4.5 * dx)]
        path = ' '.join(f'{number(x)},{number(y)}' for x, y in tip)
        self.strokes.append(f'<polygon {self.paint(colour)} points="{path}"/>')

    def dot(self, x, y, colour, radius=5):
        self.strokes.append(f'<circle {self.paint(colour)} cx="{number(x)}" cy="{number(y)}" r="{number(radius)}"/>')

    def circled(self, x, y, figure, colour):
        self.dot(x, y, colour, 10)
        self.text(x, y + 4.5, str(figure), 'paper', 12.5, 'middle', bold=True)

    # what pictures are made of

    def hatch(self, x, y, w, h, colour):
        self.rect(x, y, w, h, f'{colour}-tint', colour, radius=0)
        self.hatches.add(colour)
        self.classes.add(f's-{colour}')
        self.fills.append(f'<rect fill="url(#hatch-{colour})" x="{number(x)}" y="{number(y)}" width="{number(w)}" '
                          f'height="{number(h)}"/>')

    def bar(self, x0, x1, y, h, colour, kind, label=None):
        """A stretch of a thread's or a record's time. `kind`: work (solid), sleep (hatched), or tint."""
        if kind == 'work':
            self.rect(x0, y, x1 - x0, h, colour, colour, radius=0)
        elif kind == 'sleep':
            self.hatch(x0, y, x1 - x0, h, colour)
        else:
            self.rect(x0, y, x1 - x0, h, f'{colour}-tint', colour, radius=0)
        if label:
            ink = 'paper' if kind == 'work' else 'ink'
            over = f'{colour}-tint' if kind == 'sleep' else None
            self.text((x0 + x1) / 2, y + h / 2 + 4.5, label, ink, anchor='middle', over=over)

    def pill(self, x, y, w, h, colour, label, dashed=False):
        self.rect(x, y, w, h, f'{colour}-tint', colour, dashed, radius=h / 2)
        self.text(x + w / 2, y + h / 2 + 4.5, label, size=12.5, anchor='middle')

    def panel(self, x, y, w, h, colour, head, caption=None):
        """A tinted box with a heading. Returns the baseline of what stands in it."""
        self.rect(x, y, w, h, f'{colour}-tint', colour)
        self.text(x + 12, y + 22, head, colour, 14, bold=True)
        if caption:
            self.text(x + 12, y + 41, caption, 'muted')
        return y + (62 if caption else 43)

    def legend(self, y, items, note=None):
        """The foot of the picture. `items`: (kind, colour, text). A line above, the note below."""
        self.line([(1, y), (WIDTH - 1, y)], 'rule', thick=1)
        x, y = 22, y + 26
        for kind, colour, label in items:
            if kind == 'arrow':
                self.arrow([(x, y - 5), (x + 30, y - 5)], colour)
            elif kind == 'dashed':
                self.arrow([(x, y - 5), (x + 30, y - 5)], colour, dashed=True)
            else:
                self.bar(x, x + 30, y - 13, 16, colour, kind)
            x = self.text(x + 38, y, label, 'muted') + 20
        for line in wrapped(note, WIDTH - 44, 13) if note else []:
            y += 22
            self.text(22, y, line, 'muted')
        self.height = round(y) + 16

    # the file

    def faults(self):
        found = []
        for i, (x0, y0, x1, y1, what, over) in enumerate(self.texts):
            if x0 < 10 or x1 > WIDTH - 10 or y0 < 5 or y1 > self.height - 5:
                found.append(f'leaves the picture: {what}')
            for a0, b0, a1, b1, other, _ in self.texts[:i]:
                if x0 < a1 and a0 < x1 and y0 < b1 and b0 < y1:
                    found.append(f'overlap: {what} / {other}')
            for (ax, ay), (bx, by) in self.edges:
                if not over and min(ax, bx) < x1 and max(ax, bx) > x0 and min(ay, by) < y1 and max(ay, by) > y0:
                    found.append(f'a line crosses: {what}')
        return [f'{self.name}: {fault}' for fault in found]

    def style(self, dark):
        rules = []
        for name in sorted(self.classes):
            kind, _, colour = name.partition('-')
            if colour in COLOURS:
                rules.append(f'.{name}{{{"fill" if kind == "f" else "stroke"}:{COLOURS[colour][dark]}}}')
        return ''.join(rules)

    def svg(self):
        faults = self.faults()
        if faults:
            sys.exit('\n'.join(faults))
        frame = (f'<rect {self.paint("paper", "rule")} x="0.5" y="0.5" width="{WIDTH - 1}" '
                 f'height="{self.height - 1}" rx="8"/>')
        patterns = ''.join(
            f'<pattern id="hatch-{colour}" width="7" height="7" patternUnits="userSpaceOnUse" '
            f'patternTransform="rotate(45)"><path class="s-{colour}" d="M0 0V7" stroke-width="1.4" opacity="0.55"/>'
            '</pattern>' for colour in sorted(self.hatches))
        return '\n'.join([
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" width="{WIDTH}" '
            f'height="{self.height}" role="img" aria-labelledby="title desc">',
            f'<title id="title">{html.escape(self.title, quote=False)}</title>',
            f'<desc id="desc">{html.escape(self.description, quote=False)}</desc>',
            '<!-- Drawn by docs/pictures/diagrams.py: change it there. -->',
            f'<style>text{{font-family:{SANS}}}.mono{{font-family:{MONO}}}.f-none{{fill:none}}'
            '.halo{paint-order:stroke;stroke-width:4px;stroke-linejoin:round}',
            self.style(0),
            f'@media (prefers-color-scheme:dark){{{self.style(1)}}}</style>',
            f'<defs>{patterns}</defs>',
            frame, *self.fills, *self.strokes, *self.letters, '</svg>', ''])

    def stale_names(self):
        known = ' '.join((ROOT / path).read_text(encoding='utf-8') for path in self.sources)
        return [f'{self.name}: {" ".join(self.sources)} do not have {code}' for code in sorted(self.codes)
                if not re.search(rf'\b{code}\b', known)]


# ---- the ladder

WATCHED = [('orange', 'slow: write?'), ('purple', 'silent: read?'), ('blue', 'quick: read?')]
LADDER = [
    {'rung': ['01 blocking'],
     'threads': [('the thread', 'orange', 'in `send`, for slow')],
     'kernel': [('orange', 'slow: accepted'), ('purple', 'silent: backlog'), ('blue', 'quick: backlog')],
     'quick': 'is read when slow and silent have left', 'told': '“it is done”',
     'limit': 'the second client’s patience'},
    {'rung': ['02 thread per', 'connection'],
     'threads': [('main', 'grey', 'in `accept`, for newcomers'), ('thread 1', 'orange', 'in `send`, for slow'),
                 ('thread 2', 'purple', 'in `recv`, for silent'), ('thread 3', 'blue', 'in `recv`, for quick')],
     'kernel': [],
     'quick': 'is echoed at once', 'told': '“it is done”', 'limit': 'threads'},
    {'rung': ['03 select'],
     'threads': [('the thread', 'grey', 'in `select`, for all')],
     'kernel': WATCHED,
     'quick': 'is echoed at once', 'told': '“you may”', 'limit': 'the set: 1024 descriptors'},
    {'rung': ['04 completion', 'port', '(Windows)'],
     'threads': [('main', 'grey', 'in `WSAAccept`, for newcomers'),
                 ('worker 1', 'grey', 'in `GetQueuedCompletionStatus`, for all'),
                 ('worker 2', 'grey', 'in `GetQueuedCompletionStatus`, for all')],
     'kernel': [('orange', 'slow: send'), ('purple', 'silent: receive'), ('blue', 'quick: receive')],
     'quick': 'is echoed at once', 'told': '“it is done”', 'limit': 'memory'},
    {'rung': ['05 epoll', '(Linux)'],
     'threads': [('worker 1', 'grey', 'in `epoll_wait`, for all'), ('worker 2', 'grey', 'in `epoll_wait`, for all')],
     'kernel': WATCHED,
     'quick': 'is echoed at once', 'told': '“you may”', 'limit': 'descriptors'},
]


def ladder():
    p = Picture('ladder', 'The ladder: where the threads sleep',
                'Slow does not read its echo, silent says nothing, quick sends a line. The colour says for which client a '
                'thread sleeps.',
                """Five rungs, a row each. 01: the one thread sleeps in send for slow; silent and quick are in the
                backlog. 02: main sleeps in accept, and one thread sleeps for each client. 03: one thread sleeps in
                select for all. 04: the main thread sleeps in WSAAccept, two workers in GetQueuedCompletionStatus for
                all, while the kernel has a send of slow and a receive each of silent and quick under way. 05: two
                workers sleep in epoll_wait for all. Quick waits on 01 alone.""",
                ['01_blocking/sketch.cpp', '02_thread_per_conn/sketch.cpp', '03_select/sketch.cpp',
                 '04_iocp/sketch.cpp', '05_epoll/sketch_pool.cpp'])
    y = 96
    for x, head in ((22, 'rung'), (166, 'who sleeps where'), (622, 'quick’s line'), (752, 'it is told'),
                    (856, 'runs out first')):
        p.text(x, y, head, 'muted')
    y += 12
    for row in LADDER:
        p.line([(1, y), (WIDTH - 1, y)], 'rule', thick=1)
        y += 10
        for i, part in enumerate(row['rung']):
            aside = part.startswith('(')
            p.text(22, y + 16 + 19 * i, part, 'muted' if aside else 'ink', 13 if aside else 14, bold=not aside)
        for x, room, column in ((622, 118, 'quick'), (752, 95, 'told'), (856, 108, 'limit')):
            p.paragraph(x, y + 16, room, row[column])
        for who, colour, where in row['threads']:
            p.text(240, y + 16, who, anchor='end')
            p.bar(250, 610, y, 23, colour, 'sleep', 'asleep ' + where)
            y += 29
        if row['kernel']:
            p.rect(158, y - 2, 458, 28, 'band', loose=True)
            p.text(240, y + 16, 'the kernel', 'muted', anchor='end')
            for i, (colour, label) in enumerate(row['kernel']):
                p.pill(250 + 121 * i, y, 118, 23, colour, label, dashed='backlog' in label)
            y += 31
        y += 5
    p.legend(y, [('sleep', 'orange', 'for slow alone'), ('sleep', 'purple', 'for silent alone'),
                 ('sleep', 'blue', 'for quick alone'), ('sleep', 'grey', 'for all, or for newcomers')],
             'The sketches, on two cores. Backlog: connected, not accepted yet. “read?”, “write?”: the kernel '
             'watches for that. “send”, “receive”: the kernel is doing that.')
    return p


# ---- one connection

CONNECTION_NAMES = [  # colour, head, caption, names in two columns
    ('blue', 'The model feeds', 'what happened, and when',
     ['received', 'peer_finished', 'sent', 'blocked', 'acknowledged'],
     ['shut_down', 'stop_lingering', 'failed', 'expired']),
    ('purple', 'The service commands', 'recorded here, done by the model',
     ['send', 'pause', 'resume', 'finish', 'close'], ['abort', 'expire_at', 'defer', 'answered']),
    ('green', 'The model asks', 'what to do now, and until when',
     ['next', 'wants_receive', 'wants_send', 'unsent'], ['due', 'take_kept', 'take_due', 'deadline']),
]
PHASES = [  # x, w, name, what holds in it
    (22, 216, 'open', ['`next()`: `serve`', 'Bytes go to `on_receive`, or', 'are kept while paused.',
                       'After `finish()`: `shut_down`,', 'and it reads on.']),
    (328, 188, 'closing', ['`next()`: `serve` until all is', 'sent, then `shut_down`.', 'Bytes that come are read',
                           'and dropped.']),
    (620, 188, 'lingering', ['`next()`: `serve`.', 'Our FIN is out.', 'Bytes that come are read', 'and dropped.']),
]
ENDS = [  # the peer's FIN, ours: not out, ours: out
    ('not in', 'Both directions carry bytes: open or closing.',
     'After `close()`: lingering. After `finish()`: open, and it reads on.'),
    ('in', '`wants_receive()` is false. The queue is still sent. `on_end` is told; by default it closes.',
     '`next()` is `close`; after `finish()` not before `on_end` is told and no answer is owed.'),
]
DEADLINES = [  # phase, runs, what expired() makes of it
    ('open', '`idle_timeout`, from the last byte that moved; not while bytes are unsent or an answer is owed', 'close'),
    ('open', '`expire_at()`: the service’s own', 'close, or reset with bytes unsent'),
    ('open, closing', '`write_timeout`, while the peer acknowledges nothing', 'reset'),
    ('lingering', '`close_timeout`, from our FIN', 'close'),
]


def connection():
    p = Picture('connection', 'One connection: what it is fed, what it is asked, how it ends',
                '`ConnectionState` makes no system call and knows no clock. Each rung feeds it what happened and '
                'does what it says.',
                """Three groups of names: what the model feeds, what the service commands, what the model asks. Below,
                the phases: open goes to closing by close(); closing goes to lingering when the queue is empty and our
                FIN is out; lingering goes to the end when the peer's FIN is in or the close timeout has passed. From
                each phase an error, abort() or the write timeout leads to a reset. Below that, what holds for the
                four combinations of both sides' FINs, and the deadlines: idle and the service's own while open, the
                write timeout while open or closing, the close timeout while lingering.""",
                ['common/library/connection_state.h', 'common/library/connection_state.cpp'])
    for i, (colour, head, caption, left, right) in enumerate(CONNECTION_NAMES):
        x = 22 + 318 * i
        y = p.panel(x, 78, 300, 152, colour, head, caption)
        p.lines(x + 12, y + 2, [f'`{name}`' for name in left])
        p.lines(x + 158, y + 2, [f'`{name}`' for name in right])

    top, height = 316, 128
    bus_up, bus_down = 284, 484
    p.text(22, 264, '`failed(`reason, error, `Step::reset)`: an error, `abort()`, `write_timeout`, `expire_at()` with '
                    'bytes unsent', 'red')
    for x, w, name, body in PHASES:
        y = p.panel(x, top, w, height, 'blue', name)
        p.lines(x + 12, y + 1, body)
        p.line([(x + w / 2, top), (x + w / 2, bus_up)], 'red')
        p.line([(x + w / 2, top + height), (x + w / 2, bus_down)], 'green')
    p.line([(130, bus_up), (893, bus_up)], 'red')
    p.arrow([(893, bus_up), (893, top)], 'red')
    p.line([(130, bus_down), (893, bus_down)], 'green')
    p.arrow([(893, bus_down), (893, top + height)], 'green')
    p.rect(828, top, 130, 56, 'red-tint', 'red')
    p.text(893, top + 23, '`Step::reset`', 'red', 14, 'middle', bold=True)
    p.text(893, top + 43, 'close, with a reset', anchor='middle')
    p.rect(828, top + 72, 130, 56, 'green-tint', 'green')
    p.text(893, top + 95, '`Step::close`', 'green', 14, 'middle', bold=True)
    p.text(893, top + 115, 'close, in order', anchor='middle')
    for x0, x1, above, below in ((238, 328, ['`close()`'], ['or `on_end`’s', 'default']),
                                 (516, 620, ['`shut_down()`'], ['queue empty:', 'our FIN'])):
        p.arrow([(x0, top + 60), (x1, top + 60)], 'blue')
        p.lines((x0 + x1) / 2, top + 51, above, anchor='middle', colour='blue')
        p.lines((x0 + x1) / 2, top + 79, below, anchor='middle', colour='muted', leading=17)
    for x, body in ((130, ['after `finish()`: FIN out, end told;', 'a deadline, with nothing unsent']),
                    (422, ['queue empty, and the', 'peer’s FIN is in']),
                    (714, ['the peer’s FIN,', '`close_timeout`, `stop_lingering()`'])):
        p.lines(x, bus_down + 19, body, 'green', anchor='middle')

    y = 556
    p.text(22, y, 'The ends of both directions', bold=True, size=14)
    p.text(170, y + 26, 'our FIN not out', 'muted')
    p.text(322, y + 26, 'our FIN out', 'muted')
    y += 36
    for peer, not_out, out in ENDS:
        p.line([(22, y), (470, y)], 'rule', thick=1)
        p.paragraph(22, y + 20, 130, f'peer’s FIN {peer}', 'muted')
        p.paragraph(170, y + 20, 140, not_out)
        p.paragraph(322, y + 20, 148, out)
        y += 88 if peer == 'not in' else 120
    y = 556
    p.text(500, y, '`deadline()` is the earliest of these', bold=True, size=14)
    p.text(500, y + 26, 'phase', 'muted')
    p.text(602, y + 26, 'what runs', 'muted')
    p.text(838, y + 26, '`expired()`', 'muted')
    y += 36
    for phase, runs_, then in DEADLINES:
        p.line([(500, y), (958, y)], 'rule', thick=1)
        p.paragraph(500, y + 20, 98, phase)
        bottom = p.paragraph(602, y + 20, 226, runs_)
        y = max(bottom, p.paragraph(838, y + 20, 122, then)) - 8
    p.legend(818, [('arrow', 'blue', 'to the next phase'), ('arrow', 'green', 'a close in order, with a FIN'),
                   ('arrow', 'red', 'a close with a reset')],
             'After `close()` bytes are still read, or the close would reset (contract 6). `failed()` and '
             '`expired()` leave the phases `ended` and `reset`.')
    return p


# ---- the strand

STRAND_STATES = [  # x, y, w, h, colour, name, flags, what stays
    (22, 150, 240, 108, 'green', 'free', 'no holder, no notification',
     ['Nothing is pending, or only', 'a send that found no room.']),
    (640, 132, 318, 144, 'blue', 'held', '`acquired_`: a thread serves the connection',
     ['↻ `try_acquire()` by another: false,', ' its event is left for the holder',
      '↻ `post()`: append, no notification', '↻ `release()`, more has come: false, go on']),
    (330, 410, 262, 108, 'orange', 'notified', '`notified_`: a notification is out',
     ['↻ `post()`: append, but send no', ' second notification']),
]
STRAND_RIGHTS = [
    ('any thread', '`post()` leaves a command. It never takes the strand and never waits for it.'),
    ('a thread with an event or a notification', '`try_acquire()`. If it is false, the thread goes on to other work.'),
    ('the holder',
     'callbacks, without a lock; then `release()` or `yield()`; `close()` and `end_session()` at the end.'),
]


def strand():
    p = Picture('strand', 'The strand: which thread serves a connection',
                'Callbacks of one connection never overlap, no lock is held during one, and no command or wake-up '
                'is lost.',
                """Three states. Free goes to held by try_acquire(), and back by release() when nothing has come: the
                model re-arms under the lock. Free goes to notified by post(), which appends a command and sends one
                notification. Notified goes to held by try_acquire(), and held to notified by yield(), when the holder
                has had its share of rounds. While it is held, events and commands of other threads are left for the
                holder. A new session starts held, and the holder ends it.""",
                ['common/library/strand.h'])
    for x, y, w, h, colour, name, flags, stays in STRAND_STATES:
        baseline = p.panel(x, y, w, h, colour, name, flags)
        for i, stay in enumerate(stays):  # one that begins with a space goes on with the last
            p.text(x + (28 if stay[0] == ' ' else 12), baseline + 2 + 18 * i, stay.strip())
    p.arrow([(262, 176), (640, 176)], 'blue')
    p.text(451, 167, '`try_acquire()` with an event: true', 'blue', anchor='middle')
    p.arrow([(640, 232), (262, 232)], 'green')
    p.text(451, 223, '`release()`, nothing has come: true', 'green', anchor='middle')
    p.text(451, 250, 're-armed under the lock; if that fails, still held', 'muted', anchor='middle')
    p.arrow([(137, 258), (137, 465), (330, 465)], 'orange')
    p.lines(150, 380, ['`post()`: append the command', 'and send one notification,', 'both under the lock'], 'orange')
    p.arrow([(592, 452), (715, 452), (715, 276)], 'blue')
    p.lines(702, 352, ['`try_acquire()`: true,', 'with all that is pending'], 'blue', anchor='end')
    p.arrow([(880, 276), (880, 492), (592, 492)], 'orange')
    p.lines(868, 380, ['`yield()`: others', 'first; re-arm, notify'], 'orange', anchor='end')
    p.arrow([(700, 92), (700, 132)], 'grey')
    p.text(710, 112, '`start_session()`', 'muted')
    p.arrow([(842, 132), (842, 92)], 'grey')
    p.text(852, 112, '`end_session()`', 'muted')
    y = 548
    p.text(22, y, 'Who may do what', bold=True, size=14)
    for who, what in STRAND_RIGHTS:
        p.line([(22, y + 10), (958, y + 10)], 'rule', thick=1)
        p.text(22, y + 29, who, bold=True)
        p.paragraph(330, y + 29, 628, what)
        y += 29
    p.legend(658, [('arrow', 'blue', 'take it'), ('arrow', 'green', 'give it back'),
                   ('arrow', 'orange', 'ask for a thread'), ('arrow', 'grey', 'the session')],
             '↻: the state stays. Each call names the `generation` of its session: a late event or notification '
             'finds nobody, and `post()` says `gone`.')
    return p


# ---- the kernel armed it, against epoll_ctl returned

ARMED = [  # y, head, the stretches of worker 1, those of worker 2: from, to, colour, kind, label
    (104, 'Without the lock',
     [(150, 226, 'blue', 'work', '`serve`'),
      (226, 700, 'blue', 'tint', 'in `epoll_ctl`, waits for a processor'),
      (700, 958, 'red', 'work', 'anything it does with the record')],
     [(150, 372, 'grey', 'sleep', 'in `epoll_wait`'),
      (372, 640, 'orange', 'work', '`recv` → 0, close, delete the record'),
      (640, 958, 'grey', 'sleep', 'in `epoll_wait`')]),
    (340, 'With the lock: rule 2 of the pool, `take_turn`',
     [(150, 226, 'blue', 'work', '`serve`'),
      (226, 560, 'blue', 'tint', 'in `epoll_ctl`, waits for a processor'),
      (560, 640, 'blue', 'work', 'unlock'),
      (640, 958, 'grey', 'sleep', 'in `epoll_wait`')],
     [(150, 372, 'grey', 'sleep', 'in `epoll_wait`'),
      (372, 640, 'orange', 'sleep', 'waits for `client.turn`'),
      (640, 958, 'orange', 'work', '`recv` → 0, unlock, close, delete')]),
]


def armed():
    p = Picture('armed', '“The kernel has armed it” comes before “epoll_ctl has returned”',
                'Between the two, another worker can be given the client’s next event, serve it and delete the '
                'record.',
                """Two timelines of worker 1, the kernel and worker 2. Worker 1 serves a client and calls epoll_ctl with
                EPOLL_CTL_MOD. The kernel arms the descriptor, finds the peer's FIN there already and wakes worker 2,
                while worker 1 is still inside epoll_ctl. Without the lock worker 2 closes the client and deletes its
                record, and what worker 1 then does with the record is a use of freed memory. With the lock worker 2
                waits for client.turn until worker 1 has returned and unlocked, and only then serves and deletes.""",
                ['05_epoll/sketch_pool.cpp'])
    for y, head, one, two in ARMED:
        p.text(22, y, head, bold=True, size=14)
        p.rect(1, y + 92, WIDTH - 2, 46, 'band', loose=True)
        for label, at in (('worker 1', 52), ('the kernel', 120), ('worker 2', 188)):
            p.text(22, y + at, label, bold=True)
        for stretches, at in ((one, 34), (two, 170)):
            for x0, x1, colour, kind, label in stretches:
                p.bar(x0, x1, y + at, 28, colour, kind, label)
        returns = one[1][1]
        p.dot(286, y + 116, 'blue')
        p.arrow([(286, y + 62), (286, y + 111)], 'blue')
        p.text(278, y + 82, '`EPOLL_CTL_MOD`', 'blue', anchor='end')
        p.text(278, y + 120, 'armed', 'blue', anchor='end')
        p.text(298, y + 111, 'The FIN is there already:')
        p.text(298, y + 129, 'wake a worker')
        p.arrow([(286, y + 121), (286, y + 154), (372, y + 154), (372, y + 170)], 'orange')
        p.text(384, y + 158, 'the event', 'orange')
        p.arrow([(returns, y + 22), (returns, y + 34)], 'blue')
        p.text(returns, y + 17, '`epoll_ctl` returns', 'blue', anchor='middle')
    y = ARMED[0][0]
    p.arrow([(640, y + 170), (640, y + 76), (760, y + 76), (760, y + 62)], 'red', dashed=True)
    p.lines(652, y + 111, ['The record is gone:', 'a use of freed memory.'], 'red')
    y = ARMED[1][0]
    p.arrow([(600, y + 62), (600, y + 154), (640, y + 154), (640, y + 170)], 'green')
    p.lines(652, y + 111, ['Unlocking lets worker 2 in. Worker 1', 'has finished with the record.'], 'green')
    p.legend(570, [('work', 'blue', 'worker 1 at work'), ('tint', 'blue', 'inside a call'),
                   ('work', 'orange', 'worker 2 at work'), ('sleep', 'grey', 'asleep for all'),
                   ('sleep', 'orange', 'asleep for this client')],
             'To the right: order, not duration. `EPOLL_CTL_MOD` itself looks whether something is there already: '
             'the event may come at once.')
    return p


# ---- one echo through a completion port

LANES = {'client': 84, 'main': 236, 'kernel': 432, 'port': 590, 'worker 1': 738, 'worker 2': 886}
ECHO = [  # a heading; or from, to, label, colour. The label stands beside the lane it starts from
    'The client comes, and its first receive is started',
    ('client', 'kernel', 'connects', 'blue'),
    ('kernel', 'main', '`WSAAccept` → socket', 'muted'),
    ('main', 'kernel', '`CreateIoCompletionPort`', 'muted'),
    ('main', 'kernel', '`WSARecv` → pending', 'green'),
    'The echo: two operations, two packets',
    ('client', 'kernel', '“hello”', 'blue'),
    ('kernel', 'port', 'packet: 6 bytes', 'orange'),
    ('port', 'worker 1', '6 bytes', 'purple'),
    ('worker 1', 'kernel', '`WSASend` → 0: done', 'green'),
    ('kernel', 'client', '“hello”', 'blue'),
    ('kernel', 'port', 'packet: 6 bytes', 'orange'),
    ('port', 'worker 2', '6 bytes', 'purple'),
    ('worker 2', 'kernel', '`WSARecv` → pending', 'green'),
    'The client’s end',
    ('client', 'kernel', 'FIN', 'blue'),
    ('kernel', 'port', 'packet: 0 bytes', 'orange'),
    ('port', 'worker 2', '0 bytes', 'purple'),
    ('worker 2', 'kernel', '`closesocket`', 'green'),
    ('kernel', 'client', 'FIN', 'blue'),
    'Ctrl-C: `CancelIoEx` wakes main, and an exit packet wakes each worker',
    ('kernel', 'main', '`WSAAccept` fails', 'muted'),
    ('main', 'port', '`PostQueuedCompletionStatus`, twice', 'muted'),
    ('port', 'worker 1', 'no record', 'muted'),
    ('port', 'worker 2', 'no record', 'muted'),
]
ECHO_BARS = [  # where the record is, or which lane is at work without it: lane, from which row of ECHO, to which, colour
    ('main', 2, 4, 'green'), ('kernel', 4, 7, 'orange'), ('port', 7, 8, 'purple'), ('worker 1', 8, 9, 'green'),
    ('kernel', 9, 11, 'orange'), ('port', 11, 12, 'purple'), ('worker 2', 12, 13, 'green'),
    ('kernel', 13, 16, 'orange'), ('port', 16, 17, 'purple'), ('worker 2', 17, 18.6, 'green'),
    ('main', 21, 22.8, 'blue'), ('worker 1', 23, 24.6, 'blue'), ('worker 2', 24, 24.6, 'blue'),
]


def one_echo():
    step, top = 31, 138
    height = top + step * len(ECHO) + 92
    p = Picture('one_echo', 'One echo through a completion port',
                'The record of the sketch goes from thread to thread through the kernel. Any worker may take the '
                'next packet.',
                """A sequence between client, main thread, kernel, port and two workers. The client connects; main
                returns from WSAAccept, ties the socket to the port and starts WSARecv, which is pending. The client
                sends hello: the kernel queues a packet of 6 bytes, worker 1 takes it and calls WSASend, which is done
                at once; its packet comes all the same, worker 2 takes it and starts the next WSARecv. The client's
                FIN is a packet of 0 bytes: worker 2 closes the socket. Ctrl-C cancels WSAAccept; main posts one exit
                packet for each worker. The record is with main, the kernel, the port, worker 1, the kernel, the port,
                worker 2, and so on: with one of them at each moment.""",
                ['04_iocp/sketch.cpp'])
    bottom = top + step * len(ECHO)
    for lane, x in LANES.items():
        colour = {'kernel': 'orange', 'port': 'purple', 'client': 'blue'}.get(lane, 'ink')
        p.text(x, 116, lane, colour, 14, 'middle', bold=True)
        if lane in ('main', 'worker 1', 'worker 2'):
            p.hatch(x - 6, 126, 12, bottom - 126, 'grey')
        else:
            p.rect(x - 0.8, 126, 1.6, bottom - 126, 'rule', radius=0, loose=True)
    for i, row in enumerate(ECHO):
        y = top + step * i + 12
        if isinstance(row, str):
            p.rect(1, y - 15, WIDTH - 2, 22, 'band', loose=True)
            p.text(22, y + 1, row, bold=True, over='band')
            continue
        start, end, label, colour = row
        right = LANES[end] > LANES[start]
        pad = 8 if right else -8
        p.arrow([(LANES[start] + pad, y), (LANES[end] - pad, y)], 'grey' if colour == 'muted' else colour)
        x, anchor = (LANES[start] + 14, 'start') if right else (LANES[start] - 14, 'end')
        p.text(x, y - 6, label, colour, 12.5, anchor, over='paper')
    for lane, first, last, colour in ECHO_BARS:
        x = LANES[lane]
        y0, y1 = top + step * first + 12, top + step * last + 12
        p.rect(x - 7, y0, 14, y1 - y0, colour, colour, radius=0, loose=True)
    p.text(LANES['worker 2'] + 14, top + step * 18 + 18, '✓ freed', 'green')
    p.legend(bottom + 12, [('work', 'green', 'the record is this thread’s'), ('work', 'orange', 'the kernel’s'),
                           ('work', 'purple', 'in the port’s queue'), ('work', 'blue', 'at work without it'),
                           ('sleep', 'grey', 'asleep, for all')],
             'Downwards: order, not duration. The calls are those of a run under Wine. `WSASend` may be pending, '
             'too; its packet then comes when the kernel has the bytes.')
    return p


# ---- who owns a record

OWNED = [  # group, its record, the call, in the kernel, then the worker's, when it may go
    ('accept', ['`Accept`, and a', 'new socket in it'], '`AcceptEx`', 'waits for a client',
     'the socket goes to a `Client`', '✓ free it, or use it for a new socket'),
    ('receive', ['`receiving`, of', 'no bytes'], '`WSARecv`', 'waits for bytes, a FIN, an error',
     '`recv`, to the worker’s stack', '✓ use it; free it unless `sending` is pending'),
    ('send', ['`sending`, and', 'the bytes'], '`WSASend`', 'waits until there is room',
     'count them, send what is left', '✓ use it; free it unless `receiving` is pending'),
]


def record_owner():
    p = Picture('record_owner', 'Who owns an OVERLAPPED record, and when you may free it',
                'It is the kernel’s from the call that starts the operation until you have taken its packet from '
                'the port.',
                """Four groups. Accept, receive and send are alike: the record is yours until AcceptEx, WSARecv or
                WSASend is called; then it is the kernel's; then its packet waits in the port's queue; and once
                GetQueuedCompletionStatus has returned it, it is yours again, to use again or to free. The end, with a
                receive and a send under way: shutdown sends a FIN if one is owed, and CancelIoEx only asks. Two
                packets come. After the first nothing may be freed; after the last one you close the socket and free
                the client.""",
                ['04_iocp/server.cpp'])
    left, call, done, taken, right = 150, 290, 530, 660, 958
    y = 104
    owners = [(left, call, 'green', 'yours'), (call, done, 'orange', 'the kernel’s'),
              (done, taken, 'purple', 'the port’s queue'), (taken, right, 'green', 'yours again')]
    for x0, x1, colour, label in owners:
        p.text((x0 + x1) / 2, y, label, colour, 14, 'middle', bold=True)
    y = 136
    for group, record, start, waits, then, free in OWNED:
        p.text(22, y + 12, group, bold=True, size=14)
        p.lines(22, y + 31, record, 'muted')
        p.text(call, y, start, 'orange', anchor='middle')
        p.text(taken, y, '`GetQueuedCompletionStatus`', 'green', anchor='middle')
        for (x0, x1, colour, _), label in zip(owners, ('fill it in', waits, 'packet', then)):
            p.bar(x0, x1, y + 14, 28, colour, 'tint', label)
        for x, colour in ((call, 'orange'), (taken, 'green')):
            p.arrow([(x, y + 4), (x, y + 14)], colour)
        p.text((call + taken) / 2, y + 60, '✗ do not free it, move it or use it again', 'red', anchor='middle')
        p.text(right, y + 60, free, 'green', anchor='end')
        p.line([(1, y + 76), (WIDTH - 1, y + 76)], 'rule', thick=1)
        y += 103
    first, last = 530, 700
    p.text(22, y + 12, 'end', bold=True, size=14)
    p.lines(22, y + 31, ['a receive and', 'a send are', 'under way'], 'muted')
    p.text(call, y, '`shutdown` if a FIN is owed, `CancelIoEx`', 'red', anchor='middle')
    for at, name, cancelled, mid, packet, end in (
            (14, '`receiving`', 'cancelled', first - 110, 'aborted', first),
            (50, '`sending`', 'cancelled, perhaps not at once', last - 130, 'aborted, or done', last)):
        p.bar(left, call, y + at, 28, 'orange', 'tint', name)
        p.bar(call, mid, y + at, 28, 'orange', 'tint', cancelled)
        p.bar(mid, end, y + at, 28, 'purple', 'tint', packet)
        p.bar(end, right, y + at, 28, 'green', 'tint', 'its packet is taken')
    p.bar(left, last, y + 86, 28, 'red', 'tint',
          'the `Client` that both records are in, and its socket: ✗ do not free, do not close')
    p.bar(last, right, y + 86, 28, 'green', 'work', '✓ `closesocket`, then free it')
    p.text(first, y + 142, 'first packet: the other is pending', 'red', anchor='middle')
    p.text(last + 10, y + 142, 'the last packet', 'green')
    p.arrow([(call, y + 4), (call, y + 14)], 'red')
    p.arrow([(first, y + 130), (first, y + 114)], 'red')
    p.arrow([(last, y + 144), (last, y + 114)], 'green')
    p.legend(y + 160, [('tint', 'green', 'yours'), ('tint', 'orange', 'the kernel’s'),
                       ('tint', 'purple', 'done, its packet not taken'), ('tint', 'red', 'still needed')],
             'As in server.cpp. Success at once and `WSA_IO_PENDING` are the same here: a packet comes, and another worker may have '
             'it before the call returns. After any other error no packet comes, and the record is still yours.')
    return p


# ---- wait queues

SOCKETS = ['idle', 'idle', 'quick', 'idle', 'idle', '… N']
SELECT_STEPS = [  # colour of the number, what happens
    ('orange', 'The sets are copied in: a bit for each descriptor.'),
    ('orange', 'For each of the N sockets: is it ready? And the thread joins its wait queue.'),
    ('blue', 'Bytes come for quick. They wake the thread, and do not say for which client.'),
    ('orange', 'For each of the N again: is it ready? The thread leaves its wait queue.'),
    ('orange', 'The sets are copied out, and the program looks through them.'),
]
EPOLL_STEPS = [
    ('purple', '`epoll_ctl`, once for a connection: its item joins the socket’s wait queue and stays there.'),
    ('muted', 'The thread sleeps in one wait queue, the instance’s.'),
    ('blue', 'Bytes come for quick. They put quick’s item on the ready list, and wake a thread.'),
    ('blue', '`epoll_wait` looks at the ready list alone, and returns quick.'),
]


def sockets(p, x, queued, colour):
    """N sockets, each below its wait queue, in which something is `queued`. Returns the middles of the queues' tops."""
    tops = []
    for i, name in enumerate(SOCKETS):
        left, middle, ready = x + 76 * i, x + 76 * i + 35, name == 'quick'
        p.rect(left, 330, 70, 26, 'paper', 'rule')
        p.text(middle, 347.5, queued, colour, 12.5, 'middle')
        p.rect(left, 366, 70, 30, 'blue-tint' if ready else 'band', 'blue' if ready else 'rule')
        p.text(middle, 385.5, name, 'blue' if ready else 'muted', anchor='middle', bold=ready)
        tops.append((middle, 330))
    quick = tops[SOCKETS.index('quick')][0]
    p.arrow([(quick, 424), (quick, 396)], 'blue')
    p.text(quick + 10, 420, 'bytes', 'blue')
    p.circled(quick - 20, 414, 3, 'blue')
    p.text(x + 450, 420, 'above: its wait queue', 'muted', anchor='end')
    return tops


def steps(p, x, items, cost):
    y = 462
    for i, (colour, what) in enumerate(items):
        p.circled(x + 10, y - 4.5, i + 1, colour)
        y = p.paragraph(x + 30, y, 420, what) + 4
    p.text(x, 644, cost, bold=True)


def wait_queues():
    p = Picture('wait_queues', 'Why epoll is cheaper than select: the wait queues',
                'Each socket has a wait queue in the kernel. Threads and items in it are told when something happens.',
                """Two panels with N sockets each, of which quick is ready. select: at each call the thread joins the
                wait queues of all N sockets, is woken without a word of which, asks all N again and leaves all
                queues. epoll: an item for each socket has stood in its wait queue since epoll_ctl; the thread sleeps
                in the one queue of the instance; quick's bytes put quick's item on the ready list, and epoll_wait
                looks at that list alone.""",
                ['03_select/sketch.cpp', '05_epoll/sketch.cpp'])
    x = 22
    p.text(x, 102, 'select: told everything, at each call', bold=True, size=14)
    p.bar(x + 96, x + 356, 116, 28, 'grey', 'sleep', 'the thread, in `select`')
    tops = sockets(p, x, 'thread', 'orange')
    for middle, top in tops:
        p.line([(middle, 236), (middle, top)], 'orange', dashed=True)
    p.line([(tops[0][0], 236), (tops[-1][0], 236)], 'orange', dashed=True)
    p.line([(x + 226, 144), (x + 226, 236)], 'orange', dashed=True)
    p.circled(x + 206, 175, 2, 'orange')
    p.text(x + 240, 180, 'joins N wait queues', 'orange')
    p.circled(x + 206, 205, 4, 'orange')
    p.text(x + 240, 210, 'leaves N wait queues', 'orange')
    steps(p, x, SELECT_STEPS, 'Each call costs N, however few are ready.')

    x = 506
    p.text(x, 102, 'epoll: told once', bold=True, size=14)
    p.bar(x + 96, x + 356, 116, 28, 'grey', 'sleep', 'the thread, in `epoll_wait`')
    tops = sockets(p, x, 'item', 'purple')
    p.rect(x + 36, 186, 380, 92, 'purple-tint', 'purple')
    p.text(x + 50, 208, 'the epoll instance', 'purple', bold=True)
    p.text(x + 402, 208, 'its wait queue: the thread', anchor='end')
    p.arrow([(x + 320, 186), (x + 320, 144)], 'grey')
    p.circled(x + 300, 165, 2, 'muted')
    for name, (middle, top) in zip(SOCKETS, tops):
        if name == 'quick':
            p.arrow([(middle, top), (middle, 270)], 'blue')
            p.pill(middle - 57, 244, 114, 26, 'blue', 'quick’s item')
            p.text(middle - 66, 261, 'ready list:', anchor='end')
            p.circled(middle + 74, 257, 4, 'blue')
        else:
            p.line([(middle, 302), (middle, top)], 'purple')
    p.line([(tops[0][0], 302), (tops[-1][0], 302)], 'purple')
    p.line([(x + 320, 302), (x + 320, 278)], 'purple')
    p.circled(x + 340, 290, 1, 'purple')
    steps(p, x, EPOLL_STEPS, 'Each call costs as much as is ready, however many idle.')
    p.legend(662, [('dashed', 'orange', 'made anew for each call'), ('arrow', 'purple', 'made once'),
                   ('arrow', 'blue', 'when bytes come')],
             'Calls that have to sleep. Level-triggered, quick’s item goes back to the ready list and is asked '
             'once more at the next call.')
    return p


PICTURES = [ladder, connection, strand, armed, one_echo, record_owner, wait_queues]


def main(arguments):
    if arguments not in ([], ['--check']):
        sys.exit(__doc__)
    faults = []
    for draw in PICTURES:
        picture = draw()
        path = HERE / f'{picture.name}.svg'
        new = picture.svg().encode()
        faults += picture.stale_names()
        if not arguments:
            path.write_bytes(new)
        elif not path.exists() or path.read_bytes() != new:
            faults.append(f'{path.relative_to(ROOT)} is not what docs/pictures/diagrams.py writes: run it')
    if faults:
        sys.exit('\n'.join(faults))


if __name__ == '__main__':
    main(sys.argv[1:])
