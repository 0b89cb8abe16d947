// What the book takes from the repository: its files, and functions in them by name. Knows no generator.

import fs from 'node:fs'
import path from 'node:path'

/** The repository. build/site, where this runs, is below it. */
export const root = process.env.LADDER_ROOT
if (!root) throw new Error('LADDER_ROOT says where the repository is: see docs/site/build')

const skipped = new Set(['.git', 'build', 'exercises', 'node_modules', '.cache'])

/** All files below a folder, by their paths from the root, in order. */
export function files(folder = '', found = []) {
  const entries = fs.readdirSync(path.join(root, folder), { withFileTypes: true })
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (skipped.has(entry.name)) continue
    const name = path.posix.join(folder, entry.name)
    if (entry.isDirectory()) files(name, found)
    else if (entry.isFile()) found.push(name)
  }
  return found
}

export const exists = (file) => fs.existsSync(path.join(root, file))
export const is_file = (file) => exists(file) && fs.statSync(path.join(root, file)).isFile()

const contents = new Map()
/** A file's text, without spaces at the ends of lines, as tests/text compares it. */
export function content(file) {
  if (!contents.has(file))
    contents.set(file, fs.readFileSync(path.join(root, file), 'utf8').replace(/[ \t\r]+$/gm, ''))
  return contents.get(file)
}

/** A file's text, to the byte: in a patch a space may be all that a line has. */
export const raw = (file) => fs.readFileSync(path.join(root, file), 'utf8')

export const chapters = files().filter((f) => /^\d\d_\w+\/README\.md$/.test(f)).map((f) => path.posix.dirname(f))

const languages = { h: 'cpp', cpp: 'cpp', c: 'c', py: 'python', pl: 'perl', sh: 'sh', md: 'md', json: 'json', cmake: 'cmake',
  patch: 'diff', yml: 'yaml', js: 'js', mjs: 'js' }
/** The language of a file, for the colours. */
export function language(file) {
  const name = path.posix.basename(file)
  if (name === 'CMakeLists.txt') return 'cmake'
  const extension = /\.(\w+)$/.exec(name)?.[1]
  if (extension) return languages[extension] ?? 'txt'
  return content(file).startsWith('#!/bin/sh') ? 'sh' : 'txt'
}

const escape = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

/**
 * Where a function or a type is defined: {first, last, at}, counted from 0; the comment above it is part of it. The code is formatted
 * by clang-format, so a definition ends with a brace in the column where it began. Undefined if there is none.
 */
export function definition(file, name) {
  const lines = content(file).split('\n')
  const wanted = escape(name)
  const is_type = new RegExp(`^(\\s*)(?:template <.*> *)?(?:struct|class|enum|enum class) ${wanted}\\b[^;]*\\{`)
  const is_function = new RegExp(`^( {0,2})[A-Za-z\\[][^=;({.]*\\b(?:\\w+::)?${wanted}\\(`)
  const python = new RegExp(`^(\\s*)def ${wanted}\\(`)
  for (let at = 0; at < lines.length; ++at) {
    if (/^\s*(return|if|for|while|else|co_return|throw)\b/.test(lines[at])) continue
    const begins = is_type.exec(lines[at]) ?? is_function.exec(lines[at])
    if (begins) {
      let opens = at
      while (opens < lines.length && !/\{/.test(lines[opens]) && !/;\s*(\/\/.*)?$/.test(lines[opens])) ++opens
      if (!/\{/.test(lines[opens] ?? '')) continue  // a declaration
      let last = opens
      if (!/\{.*\}\s*(;)?\s*(\/\/.*)?$/.test(lines[opens]))
        while (last < lines.length && !new RegExp(`^${begins[1]}\\}(?! catch)`).test(lines[last])) ++last
      if (last === lines.length) continue
      let first = at
      while (first > 0 && new RegExp(`^${begins[1]}//`).test(lines[first - 1])) --first
      return { first, last, at }
    }
    const def = python.exec(lines[at])
    if (def) {
      let last = at
      while (last + 1 < lines.length && (lines[last + 1] === '' || /^\s/.test(lines[last + 1].slice(def[1].length)))) ++last
      while (lines[last] === '') --last
      return { first: at, last, at }
    }
  }
  return undefined
}

export const excerpt = (file, { first, last }) => content(file).split('\n').slice(first, last + 1).join('\n')

/** The functions that a C++ file defines, in their order: [{name, line}], lines counted from 1. */
export function functions(file) {
  const found = []
  const seen = new Set()
  for (const text of content(file).split('\n')) {
    const name = /^ {0,2}[A-Za-z[][^=;({<.]*(?:<[^(]*>)?[^=;({<.]*?\b(?:\w+::)?(~?\w+)\(/.exec(text)?.[1]
    if (!name || seen.has(name) || /^\s*(return|if|for|while|else|throw)\b/.test(text)) continue
    seen.add(name)
    const where = definition(file, name)
    if (where) found.push({ name, line: where.at + 1 })
  }
  return found.sort((a, b) => a.line - b.line)
}

/** The suite's cases: id → {title, requirement, catches, file, line}. */
export const cases = new Map()
for (const file of files('tests/conformance').filter((f) => f.endsWith('.cpp'))) {
  const text = content(file)
  for (const at of text.matchAll(/^TEST_CASE\("([A-Z]+-\d\d) (.*?)"\)/gm)) {
    const next = text.indexOf('\nTEST_CASE(', at.index)
    const body = text.slice(at.index, next < 0 ? undefined : next)
    const words = (field) => {
      const literals = new RegExp(`\\.${field} =\\s*((?:"(?:[^"\\\\]|\\\\.)*"\\s*)+)`).exec(body)?.[1]
      return literals && [...literals.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map((l) => l[1]).join('').replace(/\\(.)/g, '$1')
    }
    cases.set(at[1], { title: at[2], file, line: text.slice(0, at.index).split('\n').length,
      requirement: words('requirement'), catches: words('catches') })
  }
}
