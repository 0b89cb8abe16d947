// Differences: what git says, and what is the same in two functions.

import { execFileSync } from 'node:child_process'
import { root } from './sources.mjs'

/** What `git diff --no-index` prints for two files of the repository; nobody's own settings have a say. */
export function git_diff(from, to) {
  const env = { ...process.env, LC_ALL: 'C', GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' }
  try {
    execFileSync('git', ['diff', '--no-index', '--no-color', '--no-ext-diff', '--', from, to],
      { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] })
    return '' // the same
  } catch (error) {
    if (error.status === 1 && error.stdout?.length) return error.stdout.toString()
    throw error.code === 'ENOENT' ? new Error('git is missing: the diffs of the book are its') : error
  }
}

/**
 * A unified diff as lines: {html, kind}. The colours of a line come from the files that are compared, if these are given as
 * lines in colours; else the code is coloured as one piece, without the signs in front.
 */
export function diff_lines(text, colours, escape, [from, to] = []) {
  const lines = text.replace(/\n$/, '').split('\n')
  const about = []
  const coloured = []
  let old_line = 0, new_line = 0, inside = false
  for (const [i, l] of lines.entries()) {
    const hunk = /^@@ -(\d+)(?:,\d+)? \+(\d+)/.exec(l)
    if (hunk) {
      old_line = Number(hunk[1]) - 1
      new_line = Number(hunk[2]) - 1
      inside = true
    } else if (l.startsWith('diff ')) inside = false
    about[i] = hunk || !inside || !/^[ +-]/.test(l)
    if (about[i] || !from) continue
    coloured[i] = l[0] === '-' ? from[old_line] : to[new_line]
    if (l[0] !== '+') ++old_line
    if (l[0] !== '-') ++new_line
  }
  if (!from) colours(lines.map((l, i) => (about[i] ? '' : l.slice(1)))).forEach((l, i) => (coloured[i] = l))
  return lines.map((l, i) => {
    if (about[i]) return { html: escape(l), kind: l.startsWith('@@') ? 'hunk' : 'about' }
    return { html: `<span class="sign">${l[0]}</span>${coloured[i]}`, kind: { '+': 'added', '-': 'removed', ' ': '' }[l[0]] }
  })
}

/** Whether a line says anything: not a brace alone. */
export const telling = (line) => /\w/.test(line)

/** For each telling line of `after`: whether `before` has it too, in the same order (a longest common subsequence). */
export function unchanged(before, after) {
  const a = before.split('\n'), b = after.split('\n')
  const longest = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1))
  for (let i = a.length - 1; i >= 0; --i)
    for (let j = b.length - 1; j >= 0; --j)
      longest[i][j] = a[i] === b[j] ? longest[i + 1][j + 1] + 1 : Math.max(longest[i + 1][j], longest[i][j + 1])
  const same = new Array(b.length).fill(false)
  for (let i = 0, j = 0; i < a.length && j < b.length;)
    if (a[i] === b[j]) (same[j] = telling(b[j])), ++i, ++j
    else if (longest[i + 1][j] >= longest[i][j + 1]) ++i
    else ++j
  return same
}
