// The built book, served as it will be: files and nothing else.

import fs from 'node:fs'
import http from 'node:http'
import path from 'node:path'

const types = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json',
  '.svg': 'image/svg+xml', '.png': 'image/png', '.woff2': 'font/woff2' }

/** {url, end} of a server on a port of its own, for what is below `base`. */
export async function serve(folder, base = '/') {
  const server = http.createServer((request, response) => {
    const name = path.posix.normalize(decodeURIComponent(new URL(request.url, 'http://x').pathname))
    if (!name.startsWith(base)) return response.writeHead(404).end('not found')
    let file = path.join(folder, name.slice(base.length))
    if (fs.existsSync(file) && fs.statSync(file).isDirectory()) file = path.join(file, 'index.html')
    if (!fs.existsSync(file)) return response.writeHead(404).end('not found')
    response.writeHead(200, { 'content-type': types[path.extname(file)] ?? 'application/octet-stream' })
    fs.createReadStream(file).pipe(response)
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const end = () => new Promise((resolve) => {
    server.close(resolve)
    server.closeAllConnections?.()
  })
  return { url: `http://127.0.0.1:${server.address().port}`, end }
}
