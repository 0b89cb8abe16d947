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

/** A head's lines as paragraphs: a line that ends a sentence ends an item. */
const items = (text) => text.replace(/([^.:?!)])\n/g, '$1 ').split('\n').map((l) => l.trim()).filter(Boolean)
const list = (text) => (items(text).length > 1 ? items(text).map((i) => `- ${plain(i)}\n`).join('') : plain(items(text)[0] ?? '') + '\n')

function patch_page(file, index, all) {
  const { head, diff } = patch_parts(raw(file))
  const [chapter, kind] = file.split('/')
  const { one } = patch_kinds[kind] ?? { one: 'Patch' }
  const about = (heading, text) => (text ? `## ${heading}\n\n${list(text)}\n` : '')
  const listed = (heading, ids) => (ids ? `## ${heading}\n\n${ids.split(/\s+/).filter(Boolean).map((id) => `- ${id}${cases.has(id) ? `: ${plain(cases.get(id).title)}` : ''}\n`).join('')}\n` : '')
  const number = /(\d+)-[\w-]+\.patch$/.exec(file)[1]
  const what = head.Step ?? head.Break ?? number
  const hints = (head.Hint ?? []).map((h, i) => `<details><summary>Hint${head.Hint.length > 1 ? ` ${i + 1}` : ''}</summary>\n\n${plain(h.replace(/\n\s*/g, ' '))}\n\n</details>\n\n`).join('')
  const patch = fence('cpp diff', diff)
  const is_break = Boolean(head.Break)
  const neighbours = [
    link(plain(chapter_name(chapter)), `${chapter}/README.md`),
    `[all ${patch_kinds[kind]?.many ?? kind}](/${chapter}/${kind}/)`,
    index > 0 && link('← the one before', all[index - 1]),
    index + 1 < all.length && link('the next one →', all[index + 1])].filter(Boolean)
  const changed = diff.split('\n').filter((l) => /^[+-](?!\+\+ |-- )/.test(l)).length
  write(page(file), front({ title: `${chapter.slice(0, 2)} ${one.toLowerCase()} ${number}: ${what}`, ...wide }) +
    `# ${one} ${number}: ${plain(what)}\n\n${neighbours.join(' · ')}\n\n` +
    about('What hurts', head.Hurts) + about('What do you expect?', head.Ask) +
    listed(is_break ? 'The cases that turn red' : 'The cases that turn green', head.Cases) + listed('Red still', head.Red) +
    (head.Keeps ? `<details><summary>The cases that stay green</summary>\n\n${listed('', head.Keeps).replace(/^##.*\n\n/, '')}</details>\n\n` : '') + about('What to know', head.Know) +
    (hints ? `## Hints\n\n${hints}` : '') +
    (is_break
      ? `## The change\n\n${patch}\n${head.Why ? `<details><summary>Why</summary>\n\n${list(head.Why)}\n</details>\n` : ''}`
      : `## The patch\n\n${changed} changed lines.${kind === 'steps' ? ` \`./learn ${chapter.slice(0, 2)}\` makes an exercise of it: you write it, the suite judges it.` : ''}\n\n${patch}`))
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
      `The functions that two rungs or more have in their ${kind}. Choose a rung; the lines that the rung before has too are dimmed.\n\n${parts.join('\n')}`)
  }
}

function stage_cases() {
  const all = [...cases].sort(([a], [b]) => (a < b ? -1 : 1))
  const families = [...new Set(all.map(([id]) => id.split('-')[0]))]
  const text = families.map((family) => `## ${family}\n\n` + all.filter(([id]) => id.startsWith(`${family}-`)).map(([id, c]) =>
    `<h3 id="${id}" class="case-name">${id} <a class="header-anchor" href="#${id}" aria-label="Permalink to ${id}">&ZeroWidthSpace;</a></h3>\n\n` +
    `**${plain(c.title)}**\n\n${c.requirement ? `Required: ${plain(c.requirement)}.\n\n` : ''}${c.catches ? `Catches: ${plain(c.catches)}.\n\n` : ''}`).join('')).join('\n')
  write('cases.md', front({ title: 'The cases of the suite', outline: 2 }) +
    `# The cases of the suite\n\n${cases.size} cases, from \`tests/conformance/\`. [How to judge a server by them](/docs/conformance.html).\n\n${text}`)
}

function stage_player() {
  const data = player_data()
  if (!data) return // the sketches have not been recorded
  write('recordings.json', JSON.stringify(data))
  const systems = data.rungs.map((r) => `- ${plain(r.name)}: ${plain(r.title)}. ${plain(r.sentence)} (${plain(r.system)})\n`).join('')
  write('player.md', front({ title: 'Recordings, step by step', ...wide }) +
    '<script setup>\nimport { moments, rungs } from "./recordings.json"\n</script>\n\n# Recordings, step by step\n\n' +
    'One scene, played on each rung. Three clients: *slow* sends 300 kB and reads late, *silent* says nothing, *quick* asks and ' +
    'wants its answer. Each moment is one act of a client, shown when the server has come to rest: look at who sleeps where, and for whom.\n\n' +
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
write('grid.md', front({ title: 'What the suite finds in each server', ...wide }) + grid(plain))
fs.cpSync(path.join(root, 'docs/site/public'), path.join(folder, 'public'), { recursive: true })
