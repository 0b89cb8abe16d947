// Writes the book's Markdown into a folder: the repository's texts as they are, and the pages that are generated.
//
//   LADDER_ROOT=. node stage.mjs FOLDER

import fs from 'node:fs'
import path from 'node:path'
import { cases, chapters, content, functions, is_file, language, raw, root } from './sources.mjs'
import { address, dead, page, patches, pictures, sources, texts, title } from './pages.mjs'
import { on_each_rung, rung_name, siblings } from './book.mjs'
import { git_diff } from './diff.mjs'
import { patch_parts } from './patch.mjs'
import { diff_pairs, kinds, patch_kinds } from './outline.mjs'
import { grid } from './grid.mjs'
import { player_data } from './recordings.mjs'

const folder = process.argv[2]
if (!folder) throw new Error('which folder?')

function write(name, text) {
  const file = path.join(folder, name)
  fs.mkdirSync(path.dirname(file), { recursive: true })
  fs.writeFileSync(file, text)
}

/** Text that Markdown takes for text. */
const plain = (text) => text.replace(/[\\`*_{}[\]<>()#+\-.!|~&:]/g, '\\$&')
const link = (words, file, hash = '') => `[${words}](${address(page(file))}${hash})`
const front = (fields) => `---\n${Object.entries(fields).map(([k, v]) => `${k}: ${JSON.stringify(v)}`).join('\n')}\n---\n\n`
const wide = { aside: false, pageClass: 'wide' }

/** A fence that the code cannot end. */
function fence(info, code) {
  const longest = Math.max(3, ...[...code.matchAll(/`{3,}/g)].map((m) => m[0].length + 1))
  const marks = '`'.repeat(longest)
  return `${marks}${info}\n${code.replace(/\n?$/, '\n')}${marks}\n`
}

const chapter_name = (chapter) => title(`${chapter}/README.md`)

function stage_texts() {
  for (const file of texts) write(page(file), content(file))
  for (const file of pictures) {
    for (const place of [file, `public/${file}`]) {
      fs.mkdirSync(path.dirname(path.join(folder, place)), { recursive: true })
      fs.copyFileSync(path.join(root, file), path.join(folder, place))
    }
  }
}

function stage_sources() {
  for (const file of sources) {
    const chapter = /^(\d\d_\w+)\//.exec(file)?.[1]
    const found = language(file) === 'cpp' ? functions(file) : []
    const about = [
      `${content(file).trimEnd().split('\n').length} lines`,
      chapter && `of ${link(plain(chapter_name(chapter)), `${chapter}/README.md`)}`,
      ...diff_pairs().filter((d) => d.from === file || d.to === file)
        .map((d) => `[beside ${rung_name(d.from === file ? d.to : d.from)}](/diffs/${d.name}.html)`)].filter(Boolean)
    write(page(file), front({ title: file, search: false, ...wide }) + `# ${plain(file)}\n\n${about.join(' · ')}\n\n` +
      (found.length ? `<p class="functions">${found.map((f) => `<a href="#L${f.line}">${f.name}</a>`).join(' ')}</p>\n\n` : '') +
      fence(`${language(file)} source ${file}`, content(file)))
  }
}

/** A head's lines as sentences: a line that ends one ends an item. */
const items = (text) => text.replace(/([^.:?!)])\n/g, '$1 ').split('\n').map((l) => l.trim()).filter(Boolean)
const list = (text) =>
  items(text).length > 1 ? items(text).map((i) => `- ${plain(i)}\n`).join('') : plain(items(text)[0] ?? '') + '\n'

const case_line = (id) => (cases.has(id) ? `${id}: ${plain(cases.get(id).title)}` : id)
const case_list = (ids) => ids.split(/\s+/).filter(Boolean).map((id) => `- ${case_line(id)}\n`).join('')
const folded = (words, text) => `<details><summary>${words}</summary>\n\n${text}\n</details>\n\n`
const section = (heading, text, made = list) => (text ? `## ${heading}\n\n${made(text)}\n` : '')

/** The changes of a step, as what one learns them from. */
function step_text(head, diff, chapter, kind) {
  const hints = (head.Hint ?? []).map((hint, i) =>
    folded(head.Hint.length > 1 ? `Hint ${i + 1}` : 'Hint', plain(hint.replace(/\n\s*/g, ' ')) + '\n'))
  const changed = diff.split('\n').filter((l) => /^[+-](?!\+\+ |-- )/.test(l)).length
  const exercise = ` \`./learn ${chapter.slice(0, 2)}\` makes an exercise of it: you write it, the suite judges it.`
  return section('The trouble', head.Hurts) + section('The cases that turn green', head.Cases, case_list) +
    section('Red still', head.Red, case_list) + section('You should know', head.Know) +
    (head.Keeps ? folded('The cases that stay green', case_list(head.Keeps)) : '') +
    (hints.length ? `## Hints\n\n${hints.join('')}` : '') +
    `## The patch\n\n${changed} changed lines.${kind === 'steps' ? exercise : ''}\n\n${fence('cpp diff', diff)}`
}

const break_text = (head, diff) =>
  section('Your guess?', head.Ask) + section('The cases that turn red', head.Cases, case_list) +
  `## The change\n\n${fence('cpp diff', diff)}\n` + (head.Why ? folded('Why', list(head.Why)) : '')

function patch_page(file, index, all) {
  const { head, diff } = patch_parts(raw(file))
  const [chapter, kind] = file.split('/')
  const { one, many } = patch_kinds[kind]
  const number = parseInt(path.basename(file))
  const what = head.Step ?? head.Break
  const ways = [
    link(plain(chapter_name(chapter)), `${chapter}/README.md`),
    `[all ${many}](/${chapter}/${kind}/)`,
    index > 0 && link('← the one before', all[index - 1]),
    index + 1 < all.length && link('the next one →', all[index + 1])].filter(Boolean)
  write(page(file), front({ title: `${chapter.slice(0, 2)} ${one.toLowerCase()} ${number}: ${what}`, ...wide }) +
    `# ${one} ${number}: ${plain(what)}\n\n${ways.join(' · ')}\n\n` +
    (head.Break ? break_text(head, diff) : step_text(head, diff, chapter, kind)))
}

function stage_patches() {
  for (const chapter of chapters)
    for (const kind of Object.keys(patch_kinds)) {
      const all = patches.filter((p) => p.startsWith(`${chapter}/${kind}/`))
        .sort((a, b) => parseInt(path.basename(a)) - parseInt(path.basename(b)))
      if (!all.length) continue
      all.forEach(patch_page)
      const rows = all.map((file) => {
        const { head } = patch_parts(raw(file))
        return `| ${parseInt(path.basename(file))} | ${link(plain(head.Step ?? head.Break ?? file), file)} | ${head.Cases ?? '–'} |\n`
      })
      const { many, words } = patch_kinds[kind]
      write(`${chapter}/${kind}/index.md`, front({ title: `${chapter.slice(0, 2)}: ${many}` }) +
        `# ${plain(chapter_name(chapter))}: ${many}\n\n${words.replaceAll('NN', chapter.slice(0, 2))}\n\n` +
        `| | | ${kind === 'breaks' ? 'turns red' : 'turns green'} |\n|---|---|---|\n${rows.join('')}`)
    }
}

function stage_diffs() {
  const pairs = diff_pairs()
  for (const { from, to, name } of pairs)
    write(`diffs/${name}.md`, front({ title: `${from} → ${to}`, search: false, ...wide }) +
      `# ${plain(from)} → ${plain(to)}\n\n${link(plain(from), from)} · ${link(plain(to), to)} · [all diffs](/diffs/)\n\n` +
      `\`git diff --no-index ${from} ${to}\`\n\n${fence(`cpp diff ${from} ${to}`, git_diff(from, to))}`)
  const table = (kind) => {
    const all = [...new Set(pairs.filter((p) => p.kind === kind).flatMap((p) => [p.from, p.to]))].sort()
    const cell = (from, to) => {
      const pair = pairs.find((p) => p.from === from && p.to === to)
      if (!pair) return ''
      const text = git_diff(from, to)
      const count = (sign) => text.split('\n').filter((l) => l.startsWith(sign) && !l.startsWith(sign.repeat(3))).length
      return `[−${count('-')} +${count('+')}](/diffs/${pair.name}.html)`
    }
    return `| from, to | ${all.slice(1).map((f) => plain(rung_name(f))).join(' | ')} |\n|---|${'---|'.repeat(all.length - 1)}\n` +
      all.slice(0, -1).map((from) => `| ${plain(rung_name(from))} | ${all.slice(1).map((to) => cell(from, to)).join(' | ')} |\n`).join('')
  }
  write('diffs/index.md', front({ title: 'Diffs between chapters' }) + '# Diffs between chapters\n\n' +
    'The chapters are parallel on purpose: the same role has the same name, in the same order. So a diff shows the model and ' +
    'nothing else. A cell says how many lines go and how many come.\n\n' +
    kinds.filter((k) => pairs.some((p) => p.kind === k)).map((k) => `## ${k}.cpp\n\n${table(k)}`).join('\n'))
}

function stage_rungs() {
  for (const kind of ['sketch', 'server', 'backend']) {
    const all = on_each_rung(`${chapters.at(-1)}/${kind}.cpp`)
    const names = []
    for (const file of [...all].reverse())
      for (const { name } of functions(file))
        if (name !== 'main' && !names.includes(name) && !siblings(file, name).some((s) => names.includes(s.name)) &&
          siblings(file, name).length > 1) names.push(name)
    const parts = names.map((name) => {
      const file = [...all].reverse().find((f) => siblings(f, name).some((s) => s.file === f && s.name === name))
      return `## ${plain(name)}\n\n${fence('cpp rungs', `${file} ${name}`)}`
    })
    write(`rungs/${kind}.md`, front({ title: `The same function on each rung: ${kind}.cpp`, search: false, outline: 2 }) +
      `# The same function on each rung: ${kind}.cpp\n\n` +
      `The functions that two rungs or more have in their ${kind}. Choose a rung; lines that a rung before has too are ` +
      `dimmed.\n\n${parts.join('\n')}`)
  }
}

function stage_cases() {
  const all = [...cases].sort(([a], [b]) => (a < b ? -1 : 1))
  const families = [...new Set(all.map(([id]) => id.split('-')[0]))]
  const name = (id) => `<h3 id="${id}" class="case-name">${id} ` +
    `<a class="header-anchor" href="#${id}" aria-label="Permalink to ${id}">&ZeroWidthSpace;</a></h3>\n\n`
  const sentence = (word, text) => (text ? `${word}: ${plain(text)}.\n\n` : '')
  const entry = ([id, { title, requirement, catches }]) =>
    `${name(id)}**${plain(title)}**\n\n${sentence('Required', requirement)}${sentence('Catches', catches)}`
  const text = families.map((family) =>
    `## ${family}\n\n${all.filter(([id]) => id.startsWith(`${family}-`)).map(entry).join('')}`).join('\n')
  write('cases.md', front({ title: 'The cases of the suite', outline: 2 }) +
    `# The cases of the suite\n\n${cases.size} cases, from \`tests/conformance/\`. ` +
    `[How to judge a server by them](/docs/conformance.html).\n\n${text}`)
}

function stage_player() {
  const data = player_data()
  if (!data) return // the sketches have not been recorded
  write('recordings.json', JSON.stringify(data))
  const systems = data.rungs.map((r) => `- ${plain(r.name)}: ${plain(r.title)}. ${plain(r.sentence)} (${plain(r.system)})\n`).join('')
  write('player.md', front({ title: 'Recordings, step by step', ...wide }) +
    '<script setup>\nimport { moments, rungs } from "./recordings.json"\n</script>\n\n# Recordings, step by step\n\n' +
    'One scene, played on each rung. Three clients: *slow* sends 300 kB and reads late, *silent* says nothing, *quick* asks and ' +
    'wants its answer. Each moment is one act of a client, shown when the server has come to rest: look at which thread sleeps where, and for which client.\n\n' +
    '<Player :moments="moments" :rungs="rungs" />\n\n## What was recorded\n\n' +
    `${systems}\nThese are traces of real runs. They show order and sleep, never speed: tracing changes it.\n`)
}

const lost = dead()
if (lost.length) {
  console.error(lost.join('\n'))
  process.exit(1)
}
fs.rmSync(folder, { recursive: true, force: true })
stage_texts()
stage_sources()
stage_patches()
stage_diffs()
stage_rungs()
stage_cases()
stage_player()
write('grid.md', front({ title: 'Findings of the suite in each server', ...wide }) + grid(plain))
fs.cpSync(path.join(root, 'docs/site/public'), path.join(folder, 'public'), { recursive: true })
