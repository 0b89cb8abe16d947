// What the book makes of the repository's Markdown, as a plugin for markdown-it: links to sources become links to their
// pages, an excerpt says where it is from and is refused if it is stale, a question to predict gets a box, a table of
// results a plot. Another generator that renders with markdown-it can take this file.

import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { cases, chapters, content, definition, excerpt, exists, is_file, language, functions } from './sources.mjs'
import { address, linked, page, pictures, text_of_page } from './pages.mjs'
import { diff_lines, telling, unchanged } from './diff.mjs'
import { plot } from './plots.mjs'

export const escape = (text) =>
  text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;').replace(/\{\{/g, '&#123;&#123;')

/** As forges make anchors of headings, since the texts are written for these. */
export const anchor = (heading) =>
  heading.trim().toLowerCase().replace(/[^\p{L}\p{N}\p{M}\s_-]/gu, '').replace(/\s/g, '-')

// Of HTML the texts use these; all else in angle brackets is a word in angle brackets: <port>.
const tags = new Set(['a', 'b', 'br', 'code', 'details', 'div', 'em', 'i', 'img', 'kbd', 'p', 'picture', 'source', 'span',
  'strong', 'sub', 'summary', 'sup'])


/** The folder that a rung's sketch, server or backend stands in, and the file that is compared: 05's pool is a sketch too. */
export function on_each_rung(file) {
  const kind = /^\d\d_\w+\/(sketch|server|backend)(?:_pool)?\.cpp$/.exec(file)?.[1]
  if (!kind) return []
  return chapters.flatMap((chapter) =>
    [`${kind}.cpp`, `${kind}_pool.cpp`].map((name) => `${chapter}/${name}`).filter(is_file))
}

/** What a tab is called: 05, and 05 pool. */
export const rung_name = (file) => file.slice(0, 2) + (file.includes('_pool') ? ' pool' : '')

// Where two rungs give one role two names: 01 and 02 send all of it, the others what there is room for.
const roles = [['flush', 'send_all'], ['serve', 'take_turn']]

/** The same function on each rung that has it: [{file, where, name}]. */
export function siblings(file, name) {
  return on_each_rung(file).flatMap((other) => {
    const found = definition(other, name)
    if (found) return [{ file: other, name, where: found }]
    const role = roles.find((names) => names.includes(name))
    const by_another = role?.find((n) => definition(other, n))
    return by_another ? [{ file: other, name: by_another, where: definition(other, by_another) }] : []
  })
}

export function book(md, options = {}) {
  const base = options.base ?? '/'
  const wrong = (env, message) => {
    throw new Error(`${text_of_page(env.relativePath) ?? env.relativePath}: ${message}`)
  }
  const html = (content, Token) => Object.assign(new Token('html_block', '', 0), { content: content + '\n', ours: true })
  const inline = (content, Token) => Object.assign(new Token('html_inline', '', 0), { content, ours: true })

  // ── links ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  function target_of(href, text, env) {
    const file = linked(href, text)
    if (file === undefined) return href
    const hash = /#.*/.exec(href)?.[0] ?? ''
    if (pictures.includes(file)) return `/${file}`
    const where = page(file === '' ? 'README.md' : file)
    if (!where) wrong(env, exists(file) ? `${href} has no page` : `link to ${href}, which does not exist`)
    return address(where) + hash
  }

  const case_link = (id) => `<a class="case" href="${base}cases.html#${id}" title="${escape(cases.get(id).title)}">${id}</a>`

  /** Links of a text; in what the book has made itself, `text` undefined, only cases become links. */
  function links(state, text, Token) {
    let heading = false
    for (const block of state.tokens) {
      if (block.type === 'heading_open') heading = true
      if (block.type === 'heading_close') heading = false
      if (block.type !== 'inline') continue
      const made = []
      let within = 0
      for (const token of block.children) {
        if (token.type === 'link_open') {
          ++within
          const href = token.attrGet('href')
          if (text) token.attrSet('href', target_of(href, text, state.env))
          if (text && pictures.includes(linked(href, text))) token.attrSet('target', '_self')
        }
        if (token.type === 'link_close') --within
        if (text && token.type === 'image') {
          const file = linked(token.attrGet('src'), text)
          if (file !== undefined && !is_file(file)) wrong(state.env, `no picture ${token.attrGet('src')}`)
          // legible on a phone: it scrolls there, and does not shrink to a stamp
          const width = file?.endsWith('.svg') && Number(/<svg[^>]*?\bviewBox="[\d.-]+ [\d.-]+ ([\d.]+)/.exec(content(file))?.[1])
          if (width) token.attrSet('style', `min-width: ${Math.min(width, 760)}px`)
        }
        if (text && token.type === 'code_inline' && !within && !heading) {
          const named = [token.content, path.posix.join(path.posix.dirname(text), token.content)]
            .find((f) => /[./]/.test(token.content) && !token.content.startsWith('/') && is_file(f) && page(f) && page(f) !== state.env.relativePath)
          if (named) {
            const open = new Token('link_open', 'a', 1)
            open.attrs = [['href', address(page(named))]]
            made.push(open, token, new Token('link_close', 'a', -1))
            continue
          }
        }
        if (token.type === 'text' && !within && !heading && /[A-Z]-\d\d/.test(token.content)) {
          const parts = token.content.split(/\b([A-Z]+-\d\d)\b/)
          parts.forEach((part, i) => {
            if (i % 2 && cases.has(part)) made.push(inline(case_link(part), Token))
            else if (part) made.push(Object.assign(new Token('text', '', 0), { content: part }))
          })
          continue
        }
        made.push(token)
      }
      block.children = made
    }
  }

  // ── what Vue, or a browser, would take for its own ────────────────────────────────────────────────────────────────

  function escapes(state) {
    const foreign = (text) => text.replace(/<!--[^]*?-->/g, (c) => c)
      .replace(/<(\/?)([A-Za-z][\w:.-]*)/g, (whole, slash, name) => (tags.has(name) ? whole : `&lt;${slash}${name}`))
      .replace(/\{\{/g, '&#123;&#123;')
    for (const block of state.tokens) {
      if (block.type === 'html_block') block.content = foreign(block.content)
      for (const token of block.children ?? [])
        if (token.type === 'html_inline') token.content = foreign(token.content)
    }
  }

  // ── excerpts ──────────────────────────────────────────────────────────────────────────────────────────────────────

  function excerpts(state, Token) {
    const made = []
    state.tokens.forEach((token, i) => {
      const mark = token.type === 'html_block' && /^<!-- excerpt (\S+) (\S+) -->/.exec(token.content)
      if (mark) {
        const fence = state.tokens[i + 1]
        const [, file, name] = mark
        if (fence?.type !== 'fence') wrong(state.env, `an excerpt's mark without code behind it: ${file} ${name}`)
        if (!is_file(file)) wrong(state.env, `excerpt of ${file}, which does not exist`)
        const code = fence.content.replace(/[ \t\r]+$/gm, '')
        const at = content(file).indexOf(code)
        if (at < 0) wrong(state.env, `a stale excerpt: this is not in ${file}, ${name}:\n${code}`)
        fence.meta = { excerpt: { file, name, line: content(file).slice(0, at).split('\n').length } }
        return
      }
      if (token.type === 'html_block' && /^<!-- output -->/.test(token.content)) {
        if (state.tokens[i + 1]?.type === 'fence') state.tokens[i + 1].meta = { run: true }
        return
      }
      made.push(token)
    })
    state.tokens = made
  }

  // ── questions to predict ──────────────────────────────────────────────────────────────────────────────────────────

  const text_of = (tokens, at) => tokens[at + 1]?.content ?? ''

  function predictions(state, chapter, Token) {
    const tokens = state.tokens
    const made = []
    let asks = false, answers = false, question = 0, answer = 0, asked = 0
    for (let i = 0; i < tokens.length; ++i) {
      const token = tokens[i]
      if (token.type === 'heading_open') {
        asks = /^3 Predict/.test(text_of(tokens, i))
        if (asks) question = 0
      }
      if (token.type === 'html_block' && /<details><summary>Answers to 3/.test(token.content)) {
        answers = true
        answer = 0
        token.content = token.content.replace('<details>', `<details class="answers" data-chapter="${chapter}" data-questions="${asked}">`)
      }
      if (token.type === 'html_block' && answers && /<\/details>/.test(token.content)) answers = false
      if (token.type === 'list_item_open' && token.level === 1) {
        if (answers) made.push(token, html(`<Predicted chapter="${chapter}" :question="${++answer}" />`, Token))
        else made.push(token)
        continue
      }
      if (token.type === 'list_item_close' && token.level === 1 && asks) {
        asked = ++question
        made.push(html(`<Predict chapter="${chapter}" :question="${question}" />`, Token), token)
        continue
      }
      made.push(token)
    }
    state.tokens = made
  }

  // ── results ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Before each table that has a column "relative": the same as bars. */
  function plots(state, Token) {
    const made = []
    let heading = ''
    for (let i = 0; i < state.tokens.length; ++i) {
      const token = state.tokens[i]
      if (token.type === 'heading_open') heading = text_of(state.tokens, i)
      if (token.type === 'table_open') {
        const rows = []
        for (let j = i; state.tokens[j].type !== 'table_close'; ++j) {
          if (state.tokens[j].type === 'tr_open') rows.push([])
          if (state.tokens[j].type === 'inline') rows.at(-1).push(state.tokens[j].content)
        }
        const drawn = plot(rows, heading)
        if (drawn) made.push(html(drawn, Token))
      }
      made.push(token)
    }
    state.tokens = made
  }

  /** Behind the picture of a recorded run: where it is played. */
  function players(state, text, Token) {
    const made = []
    let shown
    for (const token of state.tokens) {
      made.push(token)
      for (const child of token.children ?? []) {
        const recording = child.type === 'image' && linked(child.attrGet('src'), text)?.replace(/\.svg$/, '.json')
        if (recording && options.recordings?.includes(recording)) shown = recording
      }
      if (token.type === 'paragraph_close' && token.level === 0 && shown) {
        const [rung, , file] = shown.split('/')
        const id = rung + (file === 'sketch.json' ? '' : `-${file.replace('.json', '')}`)
        const player = `${base}player.html`
        made.push(html(`<p class="from"><a href="${player}">Play it step by step, all rungs beside each other</a>, ` +
          `or <a href="${player}#${id}">this one alone</a></p>`, Token))
        shown = undefined
      }
    }
    state.tokens = made
  }

  md.core.ruler.after('text_join', 'book', (state) => {
    const env = state.env
    const text = text_of_page(env.relativePath)
    const Token = state.Token
    if (!text) { // made by the book itself
      if (env.relativePath !== 'cases.md') links(state, undefined, Token)
      return
    }
    excerpts(state, Token)
    escapes(state)
    links(state, text, Token)
    if (env.searching) return
    const chapter = /^(\d\d_\w+)\/README\.md$/.exec(text)?.[1]
    if (chapter) predictions(state, chapter, Token)
    if (text === 'docs/results.md') plots(state, Token)
    players(state, text, Token)
  })

  // ── code ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Lines of code in colours, without what is around them. */
  function coloured(lines, lang) {
    const key = createHash('sha256').update(`${lang}\n${lines.join('\n')}`).digest('base64')
    const known = remembered?.[key] ?? colour(lines, lang)
    used[key] = known
    return known
  }

  function colour(lines, lang) {
    const whole = md.options.highlight(lines.join('\n'), lang, '')
    const spans = /<code[^>]*>([^]*)<\/code>/.exec(whole)[1].split('\n')
      .map((line) => small(line.replace(/^<span class="line">/, '').replace(/<\/span>$/, '')))
    while (spans.length < lines.length) spans.push('') // empty ones at the end are left out
    if (spans.length !== lines.length) throw new Error(`${lines.length} lines of ${lang} became ${spans.length}`)
    return spans
  }

  const of_file = new Map()
  /** A file's lines in colours. */
  function coloured_file(file) {
    if (!of_file.has(file)) of_file.set(file, coloured(content(file).replace(/\n*$/, '').split('\n'), language(file)))
    return of_file.get(file)
  }

  // No v-pre: Vue makes one string of what it may look into and finds static, and a node of each word in what it may not.
  const block = (lang, lines, kind = '') =>
    `<div class="language-${lang} vp-adaptive-theme ${kind}"><button title="Copy Code" class="copy"></button>` +
    `<pre class="shiki vp-code" tabindex="0"><code>${lines.join('\n').replace(/\{\{/g, '&#123;&#123;')}</code></pre></div>\n`

  const line = (inner, kind = '', more = '') => `<span class="line${kind && ' '}${kind}"${more}>${inner}</span>`

  const source_address = (file, line) => `${base}${address(page(file)).slice(1)}${line ? `#L${line}` : ''}`

  const source_link = (file, line) => `<a href="${source_address(file, line)}">${file}</a>`

  const count = (same) => same.filter(Boolean).length

  /** A function on each rung, as tabs; a line that a rung before has too says so. */
  function rungs(file, name, env) {
    const found = siblings(file, name)
    if (found.length < 2) return ''
    const group = `rungs-${(env.groups = (env.groups ?? 0) + 1)}`
    const chosen = Math.max(0, found.findIndex((f) => f.file === file))
    const heads = found.map((f, i) =>
      `<input type="radio" name="${group}" id="${group}-${i}"${i === chosen ? ' checked' : ''}>` +
      `<label for="${group}-${i}">${rung_name(f.file)}</label>`).join('')
    const panels = found.map((f, i) => {
      const code = excerpt(f.file, f.where)
      // beside the rung before that has most of it: 04 is of another world, so 05 stands beside 03
      const [before, same] = found.slice(0, i).map((f) => [f, unchanged(excerpt(f.file, f.where), code)])
        .reduce((best, next) => (count(next[1]) >= count(best[1]) ? next : best), [undefined, []])
      const lines = coloured_file(f.file).slice(f.where.first, f.where.last + 1)
      const all = code.split('\n').filter(telling).length
      const words = !before ? '' : count(same) === all ? `: the same as on ${rung_name(before.file)}`
        : count(same) === 0 ? ': no line as on a rung before' : `: ${count(same)} of ${all} lines as on ${rung_name(before.file)}, dimmed`
      return `<div class="panel"><p class="from">${source_link(f.file, f.where.first + 1)} → <code>${f.name}</code>${words}</p>` +
        block('cpp', lines.map((l, at) => line(l, same[at] ? 'same' : ''))) + '</div>'
    })
    return `<div class="rungs"><span class="rungs-name">rung</span>${heads}${panels.join('')}</div>\n`
  }

  const plain_fence = md.renderer.rules.fence
  md.renderer.rules.fence = (tokens, at, opts, env, self) => {
    const token = tokens[at]
    const [lang, kind, ...of] = token.info.trim().split(/\s+/)
    if (env.searching) return kind === 'source' || kind === 'diff' || kind === 'rungs' ? '' : `<pre>${escape(token.content)}</pre>\n`
    if (kind === 'source')
      return block(lang, coloured_file(of[0]).map((l, i) =>
        line(`<a class="number" href="#L${i + 1}" aria-label="line ${i + 1}" data-line="${i + 1}"></a>${l}`, '', ` id="L${i + 1}"`)), 'source')
    if (kind === 'diff') {
      const lines = diff_lines(token.content, (code) => coloured(code, lang), escape, of.map(coloured_file))
      return block(lang, lines.map((l) => line(l.html, l.kind)), 'diff')
    }
    if (kind === 'rungs') {
      const [file, name] = token.content.trim().split(' ')
      return rungs(file, name, env)
    }
    const shown = small(plain_fence(tokens, at, opts, env, self))
    const { excerpt: from, run } = token.meta ?? {}
    if (run) return `<p class="from">A test runs this and compares what is printed.</p>\n${shown}`
    if (!from) return shown
    const others = rungs(from.file, from.name, env)
    return `<p class="from">${source_link(from.file, from.line)} → <code>${from.name}</code></p>\n${shown}` +
      (others && `<details class="each-rung"><summary>${from.name} on each rung</summary>\n${others}</details>\n`)
  }

  const plain_text = md.renderer.rules.text
  md.renderer.rules.text = (...all) => plain_text(...all).replace(/\{\{/g, '&#123;&#123;')

  const plain_code = md.renderer.rules.code_inline
  md.renderer.rules.code_inline = (...all) => plain_code(...all).replace(/\{\{/g, '&#123;&#123;')

  return md
}

// A page of code has thousands of words in colours. Two colours as a class are a third of two as a style.
const palette = new Set()
export function small(text) {
  return text.replace(/ style="--shiki-light:#(\w{6});--shiki-dark:#(\w{6});?"/g, (whole, light, dark) => {
    const name = `c${light}${dark}`.toLowerCase()
    palette.add(name)
    return ` class="${name}"`
  }).replace(/<span class="c24292ee1e4e8">([^<]*)<\/span>/g, '$1') // the colour of all text
}

// To find the colours is most of a build's work, so they are kept for the next one.
let remembered
const used = {}
export function remember_colours(file) {
  if (fs.existsSync(file)) remembered = JSON.parse(fs.readFileSync(file, 'utf8'))
}
export const keep_colours = (file) => fs.writeFileSync(file, JSON.stringify(used))

/** The rules of the classes: a class's name is its two colours. */
export function palette_css() {
  for (const lines of Object.values(used))
    for (const [name] of lines.join().matchAll(/(?<=class=")c[0-9a-f]{12}(?=")/g)) palette.add(name)
  return [...palette].sort().map((name) =>
    `.vp-code .${name}{--shiki-light:#${name.slice(1, 7)};--shiki-dark:#${name.slice(7)}}`).join('\n')
}
export { functions, language }
