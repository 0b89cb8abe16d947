// What the suite is known to find in each server that it judges: others' servers, and the sketches.

import path from 'node:path'
import { cases, content, files } from './sources.mjs'

/** A file of expected results: {name, about, found: Map(case → reason)}. */
function expected(file) {
  const found = new Map()
  const about = []
  for (const line of content(file).split('\n')) {
    const result = /^([A-Z]+(?:-\d\d)?) +(.*)/.exec(line)
    if (result) found.set(result[1], result[2])
    else if (line.startsWith('#') && !found.size) about.push(line.replace(/^# ?/, ''))
  }
  return { name: path.basename(file, '.txt'), file, about: about.join(' '), found }
}

function table(servers, plain) {
  const ids = [...new Set(servers.flatMap((s) => [...s.found.keys()]))].sort()
  const row = (cells) => `| ${cells.join(' | ')} |\n`
  return row(['case', ...servers.map((s) => plain(s.name.replace(/_/g, ' ')))]) + row(['---', ...servers.map(() => ':-:')]) +
    ids.map((id) => row([`${id} ${plain(cases.get(id)?.title ?? '')}`, ...servers.map((s) => (s.found.has(id) ? '●' : ''))])).join('')
}

const reasons = (servers, plain) => servers.map((s) =>
  `### ${plain(s.name.replace(/_/g, ' '))}\n\n${s.about ? `${plain(s.about)}\n\n` : ''}` +
  ([...s.found].map(([id, why]) => `- ${id}: ${plain(why)}\n`).join('') || 'Nothing is found.\n') + '\n').join('')

export function grid(plain) {
  const read = (folder) => files(folder).filter((f) => f.endsWith('.txt')).map(expected)
  const foreign = read('tests/foreign/expected'), sketches = read('tests/conformance/expected')
  const differ = new Set(foreign.flatMap((s) => [...s.found.keys()])).size
  return `# What the suite finds in each server

The suite judges others' servers too: a case that is red for a server that good people have used for twenty years may be wrong
itself. A dot stands for a case in which a server is known to differ, and a test holds it to that: a difference that is listed
and not seen is a failure, as one is that is seen and not listed. All ${cases.size - differ} other cases pass, or do not apply
to that server. [How to judge your own server](/docs/conformance.html).

## Others' servers

${table(foreign, plain)}
${reasons(foreign, plain)}
## The sketches

The servers of the chapters pass all cases. Their sketches do not, and the chapters say why.

${table(sketches, plain)}
${reasons(sketches, plain)}`
}
