// The recordings of the sketches (docs/pictures/README.md says what is in one), as the player wants them: all rungs in step.

import { content, files } from './sources.mjs'
import { rung_name } from './book.mjs'

const kilobytes = (bytes) => (bytes < 1000 ? `${bytes} B` : `${Math.round(bytes / 1000)} kB`)

export const recordings = files().filter((f) => /^\d\d_\w+\/pictures\/sketch\w*\.json$/.test(f))

/** What a thread called within a beat, alike calls as one: recv ×4, 66 kB. */
function did(recording, thread, beat) {
  const calls = recording.calls.filter((c) => c.thread === thread && c.end !== null && c.end > beat.begin && c.end <= beat.end)
  const kinds = new Map()
  for (const call of calls) {
    const kind = `${call.call} ${call.text.replace(/→.*|:.*/, '').trim()}`
    kinds.set(kind, [...(kinds.get(kind) ?? []), call])
  }
  return [...kinds.values()].map((alike) => {
    if (alike.length === 1) return alike[0].text
    const bytes = alike.reduce((sum, c) => sum + (c.bytes ?? 0), 0)
    return `${alike[0].call} ×${alike.length}${bytes ? `, ${kilobytes(bytes)}` : ''}`
  })
}

const kernel_words = { backlog: 'in the backlog', read: 'watched: may it be read?', write: 'watched: may it be written?',
  receive: 'a receive outstanding', send: 'a send outstanding' }

function beat_of(recording, beat) {
  const clients = recording.clients.map(({ name }) => name)
  const echoes = recording.clients.filter((c) => c.events.some((e) => e.act === 'echo' && e.at > beat.begin && e.at <= beat.end))
  return {
    client: beat.client, act: beat.act,
    answered: echoes.map((c) => c.name),
    threads: recording.threads.map(({ name, intervals }, thread) => {
      const asleep = beat.asleep.find((a) => a.thread === thread)
      const lives = intervals.length && intervals[0].begin < beat.end && (asleep || intervals.at(-1).end > beat.end)
      return { name, did: did(recording, thread, beat), ...(asleep ? { call: asleep.call, for: asleep.for } : { gone: !lives }) }
    }),
    kernel: clients.map((name) => {
      const held = beat.held[name] ?? {}
      const state = beat.kernel[name]
      return { name, state: state && (kernel_words[state] ?? state), up: held.to_server ?? 0, down: held.to_client ?? 0,
        program: beat.program[name] ?? 0 }
    }).filter((k) => k.state || k.up || k.down || k.program),
  }
}

/**
 * {moments: [{step, text}], rungs: [{id, name, title, sentence, system, beats}]}: as many beats on each rung as there are
 * moments. A step of fewer beats begins later: under 01 quick has more to say in the last one. Undefined without recordings.
 */
export function player_data() {
  const read = recordings.map((file) => ({ file, ...JSON.parse(content(file)) })).filter((r) => r.format === 1)
  if (!read.length) return undefined
  const moments = []
  const rungs = read.map((r) => ({
    id: `${r.rung}${r.sketch === 'sketch' ? '' : `-${r.sketch}`}`, name: r.sketch === 'sketch' ? r.rung : `${r.rung}, ${r.sketch}`,
    short: rung_name(r.file.replace(/\/pictures/, '').replace(/json$/, 'cpp')),
    title: r.title, sentence: r.sentence, system: r.system, beats: [] }))
  for (const step of read.at(-1).steps.map((s) => s.number)) {
    const beats = read.map((r) => r.beats.filter((b) => b.step === step))
    const most = Math.max(...beats.map((b) => b.length))
    for (let at = 0; at < most; ++at) {
      const acts = beats.map((b, i) => b[at - (most - b.length)] && beat_of(read[i], b[at - (most - b.length)]))
      // most rungs agree on what a client does; one that has nothing to do, or does something else, says so itself
      const words = acts.map((a) => a && `${a.client} ${a.act}`)
      const text = words.filter(Boolean).sort((a, b) => words.filter((w) => w === b).length - words.filter((w) => w === a).length)[0]
      moments.push({ step, text, client: text.split(' ')[0] })
      acts.forEach((act, i) => rungs[i].beats.push(act ?? { idle: true }))
    }
  }
  return { moments, rungs }
}
