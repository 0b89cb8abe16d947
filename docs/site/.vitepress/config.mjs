// VitePress's part of the book. What it makes of the texts is in lib/, which does not know VitePress.

import fs from 'node:fs'
import { anchor, book, keep_colours, palette_css, remember_colours } from '../lib/book.mjs'
import { recordings } from '../lib/recordings.mjs'
import { menu, reading_order, sidebars } from '../lib/outline.mjs'

const base = process.env.SITE_BASE || '/'
const player = fs.existsSync('src/player.md')

// Names are kept whole, SO_UPDATE_ACCEPT_CONTEXT, LIM-02, idle-timeout; and what a hyphen or a dot joins is found by its
// parts too. Goes to the browser as text, so it names nothing outside of it.
const tokenize = (text) => {
  const found = []
  for (const [word] of text.matchAll(/[\p{L}\p{N}_]+(?:[-.:’'+]+[\p{L}\p{N}_]+)*(?:\+\+)?/gu)) {
    found.push(word)
    const parts = word.split(/[-.:’'+]+/).filter(Boolean)
    if (parts.length > 1) found.push(...parts)
  }
  return found
}
const tokenize_query = (text) => text.match(/[\p{L}\p{N}_]+(?:[-.:’'+]+[\p{L}\p{N}_]+)*(?:\+\+)?/gu) ?? []

const entities = { '&lt;': '<', '&gt;': '>', '&quot;': '"', '&#39;': "'", '&#123;': '{', '&amp;': '&', '&ZeroWidthSpace;': '', '&nbsp;': ' ' }
const words = (html) => html.replace(/<(?:br|\/?(?:p|li|t[dhr]|pre|h\d|div))\b[^>]*>/g, ' ').replace(/<[^>]*>/g, '')
  .replace(/&(?:#?\w+);/g, (e) => entities[e] ?? ' ').replace(/\s+/g, ' ').trim()

/** A page by its headings. */
function* sections(html) {
  const titles = []
  for (const part of html.split(/(?=<h[1-6][ >])/)) {
    const head = /^<h([1-6])[^>]*?(?: id="([^"]*)")?[^>]*>([^]*?)<\/h\1>/.exec(part)
    if (!head) continue
    const level = Number(head[1]) - 1
    titles.length = level
    titles[level] = words(head[3].replace(/<a class="header-anchor"[^]*?<\/a>/, ''))
    yield { anchor: level ? head[2] ?? '' : '', titles: titles.filter(Boolean), text: words(part.slice(head[0].length)) || ' ' }
  }
}

export default {
  title: 'Socket Ladder',
  description: 'TCP servers from accept() to completion ports and epoll: the same server, written once for each model.',
  lang: 'en',
  base,
  srcDir: 'src',
  outDir: 'book',
  cacheDir: 'cache',
  buildConcurrency: 1, // or the search index has the pages in the order in which they happened to be read
  head: [['link', { rel: 'icon', type: 'image/svg+xml', href: `${base}favicon.svg` }]],
  markdown: {
    attrs: { disable: true }, // {port} is a word
    linkify: false,
    theme: { light: 'github-light', dark: 'github-dark' },
    languages: ['cpp', 'c', 'sh', 'console', 'python', 'perl', 'cmake', 'json', 'diff', 'yaml', 'md', 'js'],
    anchor: { slugify: anchor },
    config: (md) => {
      remember_colours('colours.json')
      md.core.ruler.disable('emoji') // so is :port:
      book(md, { base, recordings })
    },
  },
  vite: {
    build: { chunkSizeWarningLimit: 4000, reportCompressedSize: false },
  },
  // The colours of code as classes, known once all pages have been rendered. Not an asset of the bundle: VitePress would take
  // it for its own style sheet.
  buildEnd: ({ outDir }) => {
    fs.writeFileSync(`${outDir}/assets/palette.css`, palette_css())
    keep_colours('colours.json')
  },
  transformHead: () => [['link', { rel: 'stylesheet', href: `${base}assets/palette.css` }]],
  transformPageData: ({ relativePath, frontmatter }) => {
    if (relativePath === 'docs/call_by_call.md') Object.assign(frontmatter, { aside: false, pageClass: 'wide' }) // wide tables
    const order = reading_order()
    const at = order.findIndex((t) => t.page === relativePath)
    const to = (text) => (text ? { text: text.title, link: text.link } : false)
    if (at >= 0) Object.assign(frontmatter, { prev: to(order[at - 1]), next: to(order[at + 1]) })
    else if (!/^\d\d_\w+\/\w+\/\d/.test(relativePath)) Object.assign(frontmatter, { prev: false, next: false })
  },
  themeConfig: {
    nav: menu({ player }),
    sidebar: sidebars({ player }),
    outline: { level: [2, 3], label: 'On this page' },
    docFooter: { prev: 'Before', next: 'Next' },
    search: {
      provider: 'local',
      options: {
        detailedView: 'auto',
        _render: async (src, env, md) => {
          env.searching = true
          const html = md.render(src, env)
          return env.frontmatter?.search === false ? '' : html
        },
        miniSearch: {
          options: { tokenize },
          searchOptions: { tokenize: tokenize_query, fuzzy: 0.15, prefix: true, boost: { title: 4, text: 2, titles: 1 } },
          _splitIntoSections: async function* (_, html) { yield* sections(html) },
        },
      },
    },
  },
}
