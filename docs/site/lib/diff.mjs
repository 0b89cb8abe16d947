// Differences: what git says, and what is the same in two functions.

import { execFileSync } from 'node:child_process'
import { root } from './sources.mjs'

/** What `git diff --no-index` prints for two files of the repository; nobody's own settings have a say. */
export function git_diff(from, to) {
  const env = { ...process.env, LC_ALL: 'C', GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1', GIT_DIR: '/dev/null' }
  try {
    execFileSync('git', ['diff', '--no-index', '--no-color', '--no-ext-diff', '--', from, to], { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] })
    return '' // the same
  } catch (error) {
    if (error.status === 1 && error.stdout?.length) return error.stdout.toString()
    throw error.code === 'ENOENT' ? new Error('git is missing: the diffs of the book are its') : error
  }
}

/** A unified diff as lines: {html, kind}. The code in it is coloured as one piece without the signs in front. */
export function diff_lines(text, colours, escape) {
  const lines = text.replace(/\n$/, '').split('\n')
  let inside = false
  const code = lines.map((l) => {
    if (l.startsWith('@@')) inside = true
    else if (l.startsWith('diff ')) inside = false
    return inside && /^[ +-]/.test(l) ? l.slice(1) : null
  })
  const coloured = colours(code.map((l) => l ?? '').join('\n'))
  return lines.map((l, i) => {
    if (code[i] === null) return { html: escape(l), kind: l.startsWith('@@') ? 'hunk' : 'about' }
    const kind = { '+': 'added', '-': 'removed', ' ': '' }[l[0]]
    return { html: `<span class="sign">${l[0]}</span>${coloured[i]}`, kind }
  })
}

/** For each line of `after`: whether `before` has it too, in the same order (a longest common subsequence). */
export function unchanged(before, after) {
  const a = before.split('\n'), b = after.split('\n')
  const longest = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1))
  for (let i = a.length - 1; i >= 0; --i)
    for (let j = b.length - 1; j >= 0; --j)
      longest[i][j] = a[i] === b[j] ? longest[i + 1][j + 1] + 1 : Math.max(longest[i + 1][j], longest[i][j + 1])
  const same = new Array(b.length).fill(false)
  for (let i = 0, j = 0; i < a.length && j < b.length;)
    if (a[i] === b[j]) (same[j] = true), ++i, ++j
    else if (longest[i + 1][j] >= longest[i][j + 1]) ++i
    else ++j
  return same
}
