// A table of results as bars, in SVG, when the book is built.

const escape = (text) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;')

/**
 * Rows of cells, the first one the heads. Undefined if there is no column "relative". A bar is the median of the rounds,
 * the thin line the least and the greatest of them, the upright one the server that all are compared with.
 */
export function plot(rows, heading) {
  const [heads, ...body] = rows
  const relative = heads.indexOf('relative'), range = heads.findIndex((h) => h.startsWith('least'))
  if (relative < 0 || body.length === 0) return undefined
  const bars = body.map((cells) => {
    const [least, greatest] = range < 0 ? [] : cells[range].split('–').map(Number)
    return { name: cells[0], value: Number(cells[relative]), least, greatest, cost: cells[1] }
  })
  if (bars.some((b) => !Number.isFinite(b.value))) return undefined
  const most = Math.max(1.5, ...bars.flatMap((b) => [b.value, b.greatest ?? 0]))
  const width = 680, names = 140, right = 118, height = 24, top = 22
  const x = (value) => names + ((width - names - right) * value) / most
  const n = (value) => value.toFixed(1).replace(/\.0$/, '')
  const ticks = []
  for (let t = 0; t <= most; t += most > 2.5 ? 1 : 0.5) ticks.push(t)
  const words = bars.map((b) => `${b.name} ${b.value.toFixed(2)}`).join(', ')
  const parts = ticks.map((t) =>
    `<line class="grid${t === 1 ? ' one' : ''}" x1="${n(x(t))}" x2="${n(x(t))}" y1="${top - 4}" y2="${top + bars.length * height}"/>` +
    `<text class="tick" x="${n(x(t))}" y="${top - 8}" text-anchor="middle">${t}</text>`)
  bars.forEach((b, i) => {
    const y = top + i * height
    const ours = /^0\d\b/.test(b.name) ? ' ours' : /^bare/.test(b.name) ? ' bare' : ''
    parts.push(`<text class="name" x="${names - 8}" y="${y + 16}" text-anchor="end">${escape(b.name)}</text>`)
    parts.push(`<rect class="bar${ours}" x="${names}" y="${y + 4}" width="${n(x(b.value) - names)}" height="${height - 8}" rx="2"/>`)
    if (Number.isFinite(b.least))
      parts.push(`<line class="range" x1="${n(x(b.least))}" x2="${n(x(b.greatest))}" y1="${y + 12}" y2="${y + 12}"/>`)
    parts.push(`<text class="value" x="${width - right + 8}" y="${y + 16}">${b.value.toFixed(2)} · ${escape(b.cost)} µs</text>`)
  })
  const label = `${heading}: ${heads[1]}, relative: ${words}`
  return `<figure class="plot"><svg viewBox="0 0 ${width} ${top + bars.length * height + 4}" role="img" aria-label="${escape(label)}">` +
    `${parts.join('')}</svg><figcaption>${escape(heads[1])}, relative to the bare loop: the median, and the least and the greatest of the rounds</figcaption></figure>`
}
