// Tests the built book. From the repository's root: docs/site/test

import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { Browser, find_browser } from './browser.mjs'
import { serve } from './server.mjs'

const root = process.cwd()
process.env.LADDER_ROOT = root
const site = path.join(root, 'build/site')
const book_folder = path.join(site, 'book')
const module = (name) => import(pathToFileURL(path.join(site, name)))
const { texts, patches, sources, page } = await module('lib/pages.mjs')
const { chapters, content, raw } = await module('lib/sources.mjs')
const { book } = await module('lib/book.mjs')
const { patch_parts } = await module('lib/patch.mjs')
const { createMarkdownRenderer } = await module('node_modules/vitepress/dist/node/index.js')

let failures = 0, checks = 0
function check(good, message) {
  ++checks
  if (good) return
  ++failures
  console.log(`FAIL ${message}`)
}
async function part(name, act) {
  const before = failures, start = Date.now()
  let said
  try {
    said = await act()
  } catch (error) {
    check(false, `${name}: ${error.stack ?? error}`)
  }
  console.log(`${failures === before ? 'ok  ' : 'FAIL'} ${name}${said ? `: ${said}` : ''} (${((Date.now() - start) / 1000).toFixed(1)} s)`)
}

// ── what was built ─────────────────────────────────────────────────────────────────────────────────────────────────────

const walk = (folder) => fs.readdirSync(folder, { withFileTypes: true }).flatMap((e) =>
  e.isDirectory() ? walk(path.join(folder, e.name)) : [path.join(folder, e.name)])
const built = walk(book_folder)
const html = new Map(built.filter((f) => f.endsWith('.html')).map((f) => [path.relative(book_folder, f), fs.readFileSync(f, 'utf8')]))
const base = /<link rel="icon"[^>]*href="([^"]*)favicon/.exec(html.get('index.html'))[1]

const entities = { lt: '<', gt: '>', quot: '"', amp: '&', '#39': "'", '#123': '{', ZeroWidthSpace: '\u200b', nbsp: '\u00a0' }
const decode = (text) => text.replace(/&(#?\w+);/g, (whole, name) => entities[name] ?? whole)
const text_of = (markup) => decode(markup.replace(/<[^>]*>/g, ''))
const code_of = (name, kind) => {
  const found = new RegExp(`<div class="language-\\w+ vp-adaptive-theme ${kind}">.*?<code[^>]*>([^]*?)</code>`).exec(html.get(name) ?? '')
  return found && text_of(found[1]) + '\n'
}
const html_of = (relative) => relative.replace(/\.md$/, '.html')

function same(got, wanted, name) {
  if (got === wanted) return check(true)
  const a = (got ?? '').split('\n'), b = wanted.split('\n')
  const at = b.findIndex((line, i) => line !== a[i])
  check(false, `${name}: line ${at + 1} is ${JSON.stringify(a[at])}, not ${JSON.stringify(b[at])}`)
}

await part('each text, patch and source has its page', () => {
  for (const file of [...texts, ...patches, ...sources]) check(html.has(html_of(page(file))), `${file} has no page`)
  for (const file of texts) {
    const heading = /^# (.*)/m.exec(content(file))?.[1].replace(/[`*]/g, '')
    const shown = /<h1[^>]*>([^]*?)<a class="header-anchor"/.exec(html.get(html_of(page(file))) ?? '')
    const words = shown && text_of(shown[1]).trim()
    check(heading === undefined || words === heading.trim(), `${file}: the heading is ${words}, not ${heading}`)
  }
  return `${html.size} pages, ${texts.length} of them texts`
})

await part('every link and anchor resolves, and nothing is fetched from elsewhere', () => {
  const ids = new Map([...html].map(([name, text]) => [name, new Set([...text.matchAll(/\sid="([^"]*)"/g)].map((m) => decode(m[1])))]))
  let links = 0
  for (const [name, text] of html) {
    for (const [, tag, attributes] of text.matchAll(/<(a|img|script|link|source)\b([^>]*)>/g)) {
      const target = / (?:href|src|srcset)="([^"]*)"/.exec(attributes)?.[1]
      if (target === undefined) continue
      const address = decode(target)
      if (/^(https?:|mailto:)/.test(address)) {
        check(tag === 'a', `${name}: <${tag}> is fetched from ${address}`)
        continue
      }
      if (address.startsWith('data:')) continue
      ++links
      const to = new URL(address, `http://x${base}${name.replace(/(^|\/)index\.html$/, '$1')}`)
      let file = decodeURIComponent(to.pathname)
      check(file.startsWith(base), `${name}: ${address} is outside of ${base}`)
      file = file.slice(base.length)
      if (file === '' || file.endsWith('/')) file += 'index.html'
      check(fs.existsSync(path.join(book_folder, file)), `${name}: ${address} does not exist`)
      const hash = decodeURIComponent(to.hash.slice(1))
      if (hash && html.has(file)) check(ids.get(file).has(hash), `${name}: ${address}: no such anchor`)
    }
    check(!/\bundefined\b/.test(text_of(/<main[^]*<\/main>/.exec(text)?.[0] ?? '').replace(/.*undefined (behaviou?r|reference).*/gi, '')) ||
      /undefined/.test(content_of(name)), `${name} says "undefined"`)
  }
  for (const file of built.filter((f) => f.endsWith('.css')))
    check(!/url\(["']?https?:/.test(fs.readFileSync(file, 'utf8')), `${path.relative(book_folder, file)} fetches from elsewhere`)
  return `${links} links`
})

/** What a page was made from, if it is one file. */
function content_of(name) {
  const file = [...texts, ...patches, ...sources].find((f) => html_of(page(f)) === name)
  return file ? content(file) : ''
}

await part('the search index has the pages in their order, so two builds are alike', async () => {
  const file = built.find((f) => path.basename(f).startsWith('@localSearchIndexroot'))
  const { documentIds } = JSON.parse((await import(`data:text/javascript,${encodeURIComponent(fs.readFileSync(file, 'utf8'))}`)).default)
  const pages = [...new Set(Object.values(documentIds).map((id) =>
    id.slice(base.length).replace(/#.*/, '').replace(/(^|\/)$/, '$1index.html').replace(/\.html$/, '.md')))]
  check(pages.join() === [...pages].sort().join(), `it begins with ${pages.slice(0, 5).join(', ')}`)
  return `${pages.length} pages`
})

await part('sources are shown to the byte', () => {
  for (const file of sources) same(code_of(html_of(page(file)), 'source'), content(file).replace(/\n*$/, '\n'), file)
  return `${sources.length} files`
})

await part('diffs are what git prints, steps are their patches', () => {
  let count = 0
  for (const name of html.keys()) {
    const asked = /^diffs\/.*<code[^>]*>git diff --no-index (\S+) (\S+)<\/code>/s.exec(name + html.get(name))
    if (!asked) continue
    ++count
    let printed = ''
    try {
      printed = execFileSync('git', ['diff', '--no-index', '--no-color', '--no-ext-diff', asked[1], asked[2]], {
        encoding: 'utf8', env: { ...process.env, LC_ALL: 'C', GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' } })
    } catch (error) {
      printed = error.stdout
    }
    const compared = (text) => text?.replace(/^index .*\n/m, '') // how many digits git takes is its own affair
    same(compared(code_of(name, 'diff')), compared(printed), name)
  }
  check(count >= 20, `only ${count} diffs between chapters`)
  for (const file of patches) same(code_of(html_of(page(file)), 'diff'), patch_parts(raw(file)).diff.replace(/\n*$/, '\n'), file)
  return `${count} diffs, ${patches.length} patches`
})

await part('what the plugin refuses and escapes', async () => {
  const md = await createMarkdownRenderer(site, { attrs: { disable: true }, config: (m) => book(m) })
  const render = (text) => md.render(text, { relativePath: 'docs/models.md' })
  const refuses = (text, word, why) => {
    let said = ''
    try {
      render(text)
    } catch (error) {
      said = error.message
    }
    check(said.includes(word), `${why} is not refused, but: ${said || 'taken'}`)
  }
  const code = (body) => `<!-- excerpt 03_select/sketch.cpp serve -->\n\`\`\`cpp\n${body}\n\`\`\`\n`
  const serve_lines = content('03_select/sketch.cpp').split('\n').filter((l) => l.includes('bool serve('))[0]
  refuses(code(`${serve_lines} // stale`), 'stale', 'a stale excerpt')
  refuses('<!-- excerpt 03_select/nothing.cpp serve -->\n```cpp\nx\n```\n', 'does not exist', 'an excerpt of nothing')
  refuses('<!-- excerpt 03_select/sketch.cpp serve -->\n\ntext\n', 'without code', 'an excerpt without code')
  refuses('[x](nothing.md)', 'does not exist', 'a link to nothing')
  refuses('![x](nothing.svg)', 'no picture', 'a picture of nothing')
  const excerpted = render(code(serve_lines))
  check(/03_select\/sketch\.cpp<\/a> → <code>serve<\/code>/.test(excerpted), 'an excerpt does not say where it is from')
  check(/source\/03_select\/sketch\.cpp\.html#L\d+/.test(excerpted), 'an excerpt does not lead to its line')
  check((excerpted.match(/<label /g) ?? []).length >= 5, 'an excerpt does not show its function on each rung')
  const text = render('Type `{{ x }}` and {{ y }}, port <port> of {port}.\n\n<port>\n\n<div>{{ z }}</div>\n')
  const outside = text.replace(/<(\w+)[^>]*v-pre[^>]*>[^]*?<\/\1>/g, '')
  check(!outside.includes('{{'), `braces reach Vue: ${text}`)
  check(decode(text).includes('{{ y }}') && decode(text).includes('{{ x }}') && decode(text).includes('{{ z }}'), `braces are lost: ${text}`)
  check(!text.includes('<port>') && (decode(text).match(/<port>/g) ?? []).length === 2, `a bare <port> is lost: ${text}`)
  check(text.includes('{port}'), `{port} is lost: ${text}`)
  const search = md.render(code(serve_lines), { relativePath: 'docs/models.md', searching: true })
  check(!search.includes('<label'), 'the search is told each rung of an excerpt')
})

// ── what is seen ───────────────────────────────────────────────────────────────────────────────────────────────────────

const command = find_browser()
if (!command) console.log('not looked at in a browser: there is no Chromium here')
else {
  const server = await serve(book_folder, base)
  const browser = new Browser(command)
  try {
    await browser.open()
    await seen(browser, (name) => server.url + base + name)
  } finally {
    await browser.end()
    await server.end()
  }
}

async function seen(browser, url) {
  await part('at 390 and 1280 pixels nothing is wider than the page, and nobody complains', async () => {
    const must = new Set(texts.map((f) => html_of(page(f))))
    for (const name of ['cases.html', 'grid.html', 'player.html', 'diffs/index.html', 'rungs/sketch.html', 'rungs/server.html', 'rungs/backend.html'])
      if (html.has(name)) must.add(name)
    const others = [...html.keys()].filter((name) => !must.has(name) && name !== '404.html').sort()
    const shown = [...must, ...others.filter((_, i) => i % 6 === 0)]
    for (const name of shown) {
      browser.complaints.length = browser.requests.length = 0
      await browser.size(1280)
      await browser.go(url(name))
      for (const width of [1280, 390]) {
        await browser.size(width)
        const wide = await browser.run(`(() => {
          const room = document.documentElement.clientWidth
          if (document.documentElement.scrollWidth <= room && document.body.scrollWidth <= room) return ''
          const wide = [...document.querySelectorAll('main *')].find((e) => e.getBoundingClientRect().right > room + 1)
          return document.documentElement.scrollWidth + ' of ' + room + ': ' + (wide ? wide.outerHTML.slice(0, 120) : '?')
        })()`)
        check(!wide, `${name} at ${width}: ${wide}`)
      }
      check(!browser.complaints.length, `${name}: ${browser.complaints.join('; ')}`)
      const away = browser.requests.filter((r) => !r.startsWith('http://127.0.0.1:') && !r.startsWith('data:') && !r.startsWith('about:'))
      check(!away.length, `${name} asks ${away}`)
      check(await browser.run(`getComputedStyle(document.querySelector('.VPNav')).position === 'fixed' || innerWidth < 960`), `${name} has no style`)
    }
    return `${shown.length} of ${html.size} pages`
  })

  await part('code has its colours', async () => {
    await browser.size(1280)
    await browser.go(url(html_of(page('05_epoll/sketch.cpp'))))
    const colours = await browser.run(`new Set([...document.querySelectorAll('.source .line span')].slice(0, 400)
      .map((e) => getComputedStyle(e).color)).size`)
    check(colours >= 4, `${colours} colours`)
  })

  await part('dark and light', async () => {
    const colour = `getComputedStyle(document.body).backgroundColor`
    await browser.dark(false)
    await browser.go(url('index.html'))
    const light = await browser.run(colour)
    await browser.dark(true)
    await browser.go(url('index.html'))
    check(light !== (await browser.run(colour)), 'dark looks like light')
    await browser.dark(false)
  })

  await part('search finds', async () => {
    const terms = fs.readFileSync(path.join(root, 'docs/site/checks/terms.txt'), 'utf8').split('\n').filter(Boolean)
    await browser.size(1280)
    await browser.go(url('index.html'))
    await browser.run(`document.querySelector('.VPNavBarSearchButton, .DocSearch-Button').click()`)
    await browser.until(`document.querySelector('.VPLocalSearchBox input')`)
    for (const term of terms) {
      await browser.run(`(() => {
        const input = document.querySelector('.VPLocalSearchBox input')
        input.value = ''
        input.dispatchEvent(new Event('input', { bubbles: true }))
      })()`)
      await browser.until(`!document.querySelector('.VPLocalSearchBox .result')`)
      await browser.run(`(() => {
        const input = document.querySelector('.VPLocalSearchBox input')
        input.value = ${JSON.stringify(term)}
        input.dispatchEvent(new Event('input', { bubbles: true }))
      })()`)
      const found = await browser.until(`document.querySelector('.VPLocalSearchBox a.result') &&
        [...document.querySelectorAll('.VPLocalSearchBox a.result')].map((e) => new URL(e.href).pathname)`, 10_000).catch(() => undefined)
      if (!found) {
        check(false, `nothing for ${term}`)
        continue
      }
      const page_says = (address) => {
        let file = decodeURIComponent(address).slice(base.length)
        if (file === '' || file.endsWith('/')) file += 'index.html'
        const said = text_of(html.get(file) ?? '').toLowerCase()
        return term.toLowerCase().replace(/^--/, '').split(' ').every((word) => said.includes(word))
      }
      check(page_says(found[0]), `${term}: the first page found is ${found[0]}, which does not say it`)
      // a name is one word: what has its parts alone is not found; a name that is nearly the same may be, last
      const says = found.map(page_says)
      const others = found.filter((_, i) => !says[i])
      if (term.includes('_'))
        check(others.length <= 1 && !others.some((f) => found.indexOf(f) < says.lastIndexOf(true)), `${term} also finds ${others}`)
    }
    return `${terms.length} terms`
  })

  const chapter = chapters.at(-1)
  const chapter_page = `${chapter}/index.html`

  await part('a prediction is kept, and stands beside its answer', async () => {
    await browser.go(url(chapter_page))
    await browser.run('localStorage.clear()')
    await browser.go(url(chapter_page))
    const click = `document.querySelector('details.answers > summary').click()`
    const open = `document.querySelector('details.answers').open`
    await browser.run(click)
    check(!(await browser.run(open)), 'the answers open though nothing was predicted')
    await browser.run(click)
    check(await browser.run(open), 'a second click does not open the answers')
    const boxes = await browser.run(`document.querySelectorAll('textarea.predict').length`)
    check(boxes >= 3, `${boxes} boxes to predict in`)
    await browser.run(`(() => {
      const box = document.querySelectorAll('textarea.predict')[1]
      box.value = 'as many as before <b>&'
      box.dispatchEvent(new Event('input', { bubbles: true }))
    })()`)
    await browser.until(`document.querySelector('p.predicted')`)
    await browser.go(url('index.html'))
    await browser.go(url(chapter_page))
    await browser.until(`document.querySelectorAll('textarea.predict')[1].value === 'as many as before <b>&'`)
    await browser.run(click)
    check(await browser.run(open), 'the answers do not open though something was predicted')
    const beside = await browser.run(`document.querySelector('p.predicted').innerText`)
    check(beside.includes('as many as before <b>&'), `beside the answer stands ${beside}`)
  })

  if (!html.has('player.html')) console.log('no player: the sketches have not been recorded')
  else await part('the player goes through the scene, on all rungs in step', async () => {
    await browser.go(url('player.html'))
    const count = await browser.run(`Number(document.querySelector('.player input[type=range]').max) + 1`)
    const cards = await browser.run(`document.querySelectorAll('.player .card').length`)
    check(count >= 8 && cards >= chapters.length, `${count} moments, ${cards} rungs`)
    const seen = new Set()
    for (let i = 0; i < count; ++i) {
      seen.add(await browser.run(`document.querySelector('.player .moment').innerText`))
      for (const width of [390, 1280]) {
        await browser.size(width)
        const fits = await browser.run(`document.documentElement.scrollWidth <= document.documentElement.clientWidth`)
        check(fits, `moment ${i + 1} is too wide for ${width}`)
      }
      const sleepers = await browser.run(`[...document.querySelectorAll('.player .card')].filter((c) => c.querySelector('.sleep')).length`)
      check(sleepers === cards, `moment ${i + 1}: ${sleepers} of ${cards} rungs sleep at their rest`)
      await browser.run(`document.querySelector('.player [aria-label="one on"]').click()`)
      await browser.until(`document.querySelector('.player .count').innerText.startsWith('${Math.min(i + 2, count)} of')`)
    }
    check(seen.size === count, `${seen.size} different moments of ${count}`)
    const first = chapters[0]
    await browser.go(url('index.html'))
    await browser.go(url(`player.html#${first}`))
    await browser.until(`document.querySelectorAll('.player .card').length === 1`)
    check(await browser.run(`document.querySelector('.player .card').dataset.rung === ${JSON.stringify(first)}`), 'another rung than the one asked for')
    return `${count} moments on ${cards} rungs`
  })

  await part('a tab shows its rung', async () => {
    await browser.go(url('rungs/sketch.html'))
    const labels = await browser.run(`document.querySelector('.rungs').querySelectorAll('label').length`)
    for (let i = 0; i < labels; ++i) {
      await browser.run(`document.querySelector('.rungs').querySelectorAll('label')[${i}].click()`)
      const shown = await browser.run(`[...document.querySelector('.rungs').querySelectorAll('.panel')]
        .map((e) => getComputedStyle(e).display !== 'none')`)
      check(shown.filter(Boolean).length === 1 && shown[i], `tab ${i} shows ${shown}`)
    }
  })
}

console.log(`${checks} checks, ${failures} failed`)
process.exit(failures > 0 ? 1 : 0)
