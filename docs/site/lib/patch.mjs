// The head of a patch in steps/, breaks/ and the like, and its diff.

/** {head: {Step, Hurts, Cases, Know, …; Hint: [...]}, diff}. A field goes on in the lines that are indented. */
export function patch_parts(text) {
  const at = text.search(/^--- /m)
  const head = {}
  let field
  for (const line of text.slice(0, at).split('\n')) {
    const begins = /^([A-Z][a-z]+): ?(.*)/.exec(line)
    if (begins) {
      field = begins[1]
      if (field === 'Hint') (head.Hint ??= []).push(begins[2])
      else head[field] = begins[2]
    } else if (/^\s+\S/.test(line) && field) {
      if (field === 'Hint') head.Hint[head.Hint.length - 1] += '\n' + line.trim()
      else head[field] += '\n' + line.trim()
    }
  }
  return { head, diff: text.slice(at) }
}
