// Which page of the book stands for which file of the repository. Knows no generator.

import path from 'node:path'
import { chapters, content, exists, files, is_file, root } from './sources.mjs'

const everything = files()

/** The texts, which the book takes as they are. */
export const texts = everything.filter((f) => f.endsWith('.md'))

/** A chapter's patches: steps/1-ready.patch and the like. */
export const patches = everything.filter((f) => /^\d\d_\w+\/\w+\/[\w-]+\.patch$/.test(f))

const is_picture = (file) => /\.(svg|png|jpg|webp)$/.test(file)

/** The targets of a text's links and pictures, outside of code. */
function targets(text) {
  const found = []
  const prose = text.replace(/^( *)```[^]*?^\1```/gm, '').replace(/`[^`\n]*`/g, '')
  for (const link of prose.matchAll(/\]\(([^)\s]+)(?:\s+"[^"]*")?\)/g)) found.push(link[1])
  for (const tag of prose.matchAll(/<(?:img|source|a)\b[^>]*\b(?:src|srcset|href)="([^"]+)"/g)) found.push(tag[1])
  return found
}

/** The file or folder that a link means, by its path from the root; undefined for other sites and the page itself. */
export function linked(target, text) {
  if (/^[a-z]+:/i.test(target) || target.startsWith('#')) return undefined
  const plain = decodeURI(target.replace(/[?#].*/, ''))
  return path.posix.normalize(plain.startsWith('/') ? plain.slice(1) : path.posix.join(path.posix.dirname(text), plain))
    .replace(/\/$/, '')
}

const links = texts.flatMap((text) => targets(content(text)).map((target) => linked(target, text))).filter(Boolean)

/** What the texts link to and is not there: [text: target]. The plugin refuses it too, one at a time and a minute later. */
export const dead = () => texts.flatMap((text) => targets(content(text))
  .filter((target) => linked(target, text) !== undefined && !page(linked(target, text) || 'README.md') && !pictures.includes(linked(target, text)))
  .map((target) => `${text}: link to ${target}, ${exists(linked(target, text)) ? 'which has no page' : 'which does not exist'}`))
const excerpts = texts.flatMap((text) => [...content(text).matchAll(/^<!-- excerpt (\S+)/gm)].map((m) => m[1]))

/** The pictures that the texts show. */
export const pictures = [...new Set(links.filter((f) => is_picture(f) && is_file(f)))]

/** The sources that have a page: what the texts name, and all that the chapters and the library consist of. */
export const sources = [...new Set([
  ...everything.filter((f) => /^(\d\d_\w+|common|docs\/(examples|more_models))\/.*\.(cpp|h)$/.test(f)),
  ...links, ...excerpts])]
  .filter((f) => is_file(f) && !f.endsWith('.md') && !is_picture(f) && !patches.includes(f)).sort()

const with_page = new Map()
for (const file of texts) with_page.set(file, file.replace(/(^|\/)README\.md$/, '$1index.md'))
for (const file of patches) with_page.set(file, file.replace(/\.patch$/, '.md'))
for (const file of sources) with_page.set(file, `source/${file}.md`)

/** The page of a file or of a folder, by its path in the book: 05_epoll/index.md. Undefined if it has none. */
export const page = (file) => with_page.get(file) ?? with_page.get(path.posix.join(file, 'README.md')) ??
  (/^\d\d_\w+\/\w+$/.test(file) && patches.some((p) => p.startsWith(`${file}/`)) ? `${file}/index.md` : undefined)

/** The text that a page of the book was made from. */
export const text_of_page = (relative) =>
  texts.find((file) => with_page.get(file) === relative)

/** A page's address from the root of the book. */
export const address = (relative) => '/' + relative.replace(/(^|\/)index\.md$/, '$1').replace(/\.md$/, '.html')

/** The first heading of a text. */
export const title = (file) => /^# (.*)/m.exec(content(file))?.[1].replace(/`/g, '') ?? file

export { chapters, exists, root }
