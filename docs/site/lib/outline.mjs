// The order of the book: what its sidebar shows.

import path from 'node:path'
import { chapters, is_file, raw } from './sources.mjs'
import { address, page, patches, texts, title } from './pages.mjs'
import { on_each_rung, rung_name } from './book.mjs'
import { patch_parts } from './patch.mjs'

export const kinds = ['sketch', 'server']

export const patch_kinds = {
  steps: { one: 'Step', many: 'steps from the sketch to the server', menu: 'Steps',
    words: 'Each step is a patch of one file. Applied in order they lead from the sketch to the server; the cases of the suite ' +
      'that a step names are red before it and green after. `./learn NN` makes exercises of them.' },
  attempts: { one: 'Attempt', many: 'first attempts', menu: 'First attempts',
    words: 'The first things that you would try, and why they are not enough.' },
  mirror: { one: 'Step', many: 'another service', menu: 'Another service',
    words: 'The sketch turned into another service, whose messages have a size in front.' },
  breaks: { one: 'Mistake', many: 'mistakes to look at', menu: 'Mistakes',
    words: 'Each is a small change that breaks the sketch. `./learn break NN.1` makes a copy with the first one in it, asks what ' +
      'you expect, plays the cases that see it, and explains.' },
}

/** Each sketch beside each later one, and each server: {kind, from, to, name}. */
export const diff_pairs = () => kinds.flatMap((kind) => {
  const all = on_each_rung(`${chapters[0]}/${kind}.cpp`)
  const id = (file) => rung_name(file).replace(' ', '-')
  return all.flatMap((from, i) => all.slice(i + 1).map((to) => ({ kind, from, to, name: `${kind}-${id(from)}-${id(to)}` })))
})

const number = (file) => parseInt(path.basename(file))

/** The texts in the order of the sidebar: [{title, link, page}]. */
let order
export function reading_order() {
  if (order) return order
  const flat = (items) => items.flatMap((i) => [i, ...flat(i.items ?? [])])
  order = flat(sidebar({}, '')).filter((i) => i.file).map((i) => ({ title: i.text, link: i.link, page: page(i.file) }))
  return order
}

/** What stands above each page. */
export const menu = ({ player }) => [
  { text: 'Begin', link: '/' },
  player && { text: 'Play', link: '/player.html' },
  is_file('docs/questions.md') && { text: 'Questions', link: address(page('docs/questions.md')) },
  { text: 'Functions', link: '/rungs/server.html' },
  { text: 'Diffs', link: '/diffs/' },
  { text: 'Results', link: address(page('docs/results.md')) },
].filter(Boolean)

/** For each part of the book: a chapter's pages show the chapter's steps, patches and sources, the others the chapters alone. */
export function sidebars(extra) {
  const made = { '/': sidebar(extra, '') }
  for (const chapter of chapters) made[`/${chapter}/`] = made[`/source/${chapter}/`] = sidebar(extra, chapter)
  return made
}

function sidebar(extra, open) {
  const shown = new Set()
  const text = (file, words) => {
    if (!is_file(file)) return undefined
    shown.add(file)
    return { text: words ?? title(file), link: address(page(file)), file }
  }
  const group = (words, items, collapsed = true) => {
    const there = items.filter(Boolean)
    return there.length ? { text: words, collapsed, items: there } : undefined
  }
  const generated = (words, link) => ({ text: words, link })
  const series = (chapter, kind) => {
    const all = patches.filter((p) => p.startsWith(`${chapter}/${kind}/`)).sort((a, b) => number(a) - number(b))
    if (!all.length) return undefined
    return { text: patch_kinds[kind].menu, link: `/${chapter}/${kind}/`, collapsed: true, items: all.map((file) => {
      const { head } = patch_parts(raw(file))
      return { text: `${number(file)} ${head.Step ?? head.Break}`, link: address(page(file)) }
    }) }
  }
  const code = (chapter) => ['sketch', 'sketch_pool', 'first_receive', 'server', 'backend'].map((n) => `${chapter}/${n}.cpp`)
    .filter(is_file).map((file) => generated(path.basename(file), address(page(file))))
  const rest = (pattern) => texts.filter((f) => pattern.test(f) && !shown.has(f)).map((f) => text(f))

  const chapter_groups = chapters.map((chapter) => {
    const head = text(`${chapter}/README.md`)
    if (chapter !== open) return head
    return { ...head, collapsed: false, items: [
      ...['attempts', 'steps', 'mirror', 'breaks'].map((kind) => series(chapter, kind)),
      ...code(chapter)].filter(Boolean) }
  })
  const all = [
    { text: 'The book', items: [text('README.md', 'Begin here'), ...(extra.player ? [generated('Recordings, step by step', '/player.html')] : [])] },
    { text: 'The rungs', items: chapter_groups },
    { text: 'Side by side', items: [
      generated('Functions of the sketches', '/rungs/sketch.html'), generated('Functions of the servers', '/rungs/server.html'),
      generated('Functions of the backends', '/rungs/backend.html'), generated('Diffs between chapters', '/diffs/'),
      text('docs/models.md'), text('docs/call_by_call.md')].filter(Boolean) },
    group('Questions and words', [text('docs/questions.md'), text('docs/glossary.md'), text('docs/reading.md')], false),
    group('More models', [text('docs/more_models/README.md'), text('docs/windows_models.md'), text('docs/past_one_machine.md')], false),
    group('The contract', [text('docs/contract.md')], false),
    group('The library', [text('docs/using.md'), text('docs/examples/README.md'), text('docs/examples/compare/README.md'),
      text('docs/iocp_on_linux.md'), text('docs/windows.md')], false),
    group('Results', [text('docs/results.md'), text('tests/bench/README.md')], false),
    group('Tests', [text('docs/conformance.md'), generated('The cases of the suite', '/cases.html'),
      generated('Findings of the suite in each server', '/grid.html'), ...rest(/^tests\//)], false),
  ]
  all.push(group('The project', [text('CONTRIBUTING.md'), text('CHANGELOG.md'), ...rest(/./)], false))
  return all.filter(Boolean)
}
