#!/usr/bin/env python3
"""The figures in a text's tables are those of docs/results.md, which ./bench writes.

  tests/text/figures.py            compares each table with the results, and names those that differ
  tests/text/figures.py --write    writes them anew: after ./bench >docs/results.md

A table stands between two marks. The first one says what it shows: columns of works, then servers of sections.

  <!-- figures CPU of a, bytes each of f | select: 03 sketch, 03 server | epoll, one worker: 05 sketch -->
  <!-- end of figures -->

A server or a work that ./bench measures and the results do not have yet is left out, or is a dash.
"""
import glob
import os
import re
import sys

RESULTS = 'docs/results.md'
TABLE = re.compile(r'^(<!-- figures (.*) -->\n)(?:.*\n)*?(<!-- end of figures -->\n)', re.MULTILINE)


class Wrong(Exception):
    pass


def read(path):
    with open(path, encoding='utf-8') as file:
        return file.read()


def cells_of(line):
    return [cell.strip() for cell in line.strip('|\n').split('|')]


class Results:
    def __init__(self, text):
        self.figures = {}  # (section, work, server, column): a cell as it stands there
        self.titles = {}  # of a work
        self.machines = {}  # of a section: 2 cores (…), Linux …
        section = work = header = None
        for line in text.splitlines():
            if line.startswith('## '):
                section, work = line[3:], None
            elif line.startswith('### '):
                work, title = line[4:].split(': ', 1)
                header = None
                self.titles[work] = title
            elif machine := re.match(r'\d+ cores? .*?, Linux [^;]*', line):
                self.machines[section] = machine[0]
            elif line.startswith('|') and work:
                cells = cells_of(line)
                header = header or cells
                self.figures.update(((section, work, cells[0], name), cell) for name, cell in zip(header, cells))
            elif line:
                header = None
        self.date = re.search(r'^Written by `\./bench.* on (\d{4}-\d\d-\d\d)', text, re.MULTILINE)[1]

    def find(self, section, work, server, column):
        """The column's whole name and the figure."""
        for (*place, name), figure in self.figures.items():
            if place == [section, work, server] and name.startswith(column):
                return name, figure
        return None, '–'


def table(spec, results, bench, folder):
    columns, *groups = spec.split(' | ')
    columns = [column.rsplit(' of ', 1) for column in columns.split(', ')]
    rows, names = [], [None] * len(columns)
    for group in groups:
        section, servers = group.rsplit(': ', 1)
        if section not in results.machines:
            raise Wrong(f'{RESULTS} has no section "{section}"')
        for server in servers.split(', '):
            found = [results.find(section, work, server, column) for column, work in columns]
            if any(name for name, _ in found):
                rows.append([server] + [figure for _, figure in found])
                names = [name or other for (name, _), other in zip(found, names)]
            elif not re.search(rf'"{re.escape(server)}=|for library in .*\b{re.escape(server)}\b', bench):
                raise Wrong(f'neither {RESULTS} nor ./bench has a server "{server}" in "{section}"')
            else:
                print(f'{RESULTS} has no "{server}" yet')
    for (column, work), name in zip(columns, names):
        if not name:
            raise Wrong(f'{RESULTS} has no "{column}" of work {work} for any of these servers')
    names = ['CPU, relative' if name == 'relative' else name for name in names]
    one_column = len(set(names)) == 1
    heads = [f'{work}: {results.titles[work]}' + ('' if one_column else f': {name}')
             for (_, work), name in zip(columns, names)]
    heads.insert(0, names[0] if one_column else 'server')
    lines = [heads, ['---'] * len(heads), *rows]
    machine = results.machines[groups[0].rsplit(': ', 1)[0]]
    return ''.join(f'| {" | ".join(line)} |\n' for line in lines).replace(' --- ', '---') + \
        f'\nFrom [{RESULTS}]({os.path.relpath(RESULTS, folder)}), written by `./bench` on {results.date}: {machine}.\n'


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), '../..'))
    write = sys.argv[1:] == ['--write']
    if sys.argv[1:] and not write:
        sys.exit(__doc__)
    results, bench = Results(read(RESULTS)), read('bench')
    tables, stale = 0, False
    for path in sorted(glob.glob('*.md') + glob.glob('[0-9]*/*.md') + glob.glob('docs/**/*.md', recursive=True)):
        text = read(path)
        found = len(TABLE.findall(text))
        if found != text.count('<!-- figures ') or found != text.count('<!-- end of figures -->'):
            sys.exit(f'{path}: a mark of a table stands alone')
        tables += found
        try:
            right = TABLE.sub(lambda match: match[1] + table(match[2], results, bench, os.path.dirname(path)) + match[3], text)
        except Wrong as error:
            sys.exit(f'{path}: {error}')
        if right == text:
            continue
        stale = True
        new = [line for line in right.splitlines() if line not in text.splitlines()]
        print(f'{path}: the tables are not those of {RESULTS}:', *new, sep='\n  ')
        if write:
            with open(path, 'w', encoding='utf-8') as file:
                file.write(right)
    if not tables:
        sys.exit('no table is marked <!-- figures … -->')
    print(f'{tables} tables')
    if stale and write:
        print('written. Is what the texts say beside them still true?')
    elif stale:
        sys.exit('tests/text/figures.py --write makes them so')


main()
