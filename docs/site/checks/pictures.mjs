// Pictures of pages of the built book, to look at:  node pictures.mjs FOLDER PAGE...   (docs/site/README.md)

import fs from 'node:fs'
import path from 'node:path'
import { Browser, find_browser } from './browser.mjs'
import { serve } from './server.mjs'

const [folder, ...pages] = process.argv.slice(2)
fs.mkdirSync(folder, { recursive: true })
const command = find_browser()
if (!command) throw new Error('no Chromium here')
const server = await serve(path.resolve('build/site/book'))
const browser = new Browser(command)
await browser.open()
for (const page of pages)
  for (const width of [390, 1280])
    for (const dark of [false, true]) {
      await browser.size(width, width < 600 ? 844 : 900)
      await browser.dark(dark)
      const [address, action] = page.split('|')
      await browser.go(`${server.url}/${address}`)
      if (action) await browser.run(action)
      await new Promise((resolve) => setTimeout(resolve, 300)) // for what moves to have moved
      const name = `${address.replace(/[^\w]+/g, '_') || 'home'}${action ? '_acted' : ''}-${width}-${dark ? 'dark' : 'light'}.png`
      await browser.picture(path.join(folder, name))
    }
await browser.end()
await server.end()
