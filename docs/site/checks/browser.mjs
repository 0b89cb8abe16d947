// A headless Chromium, driven over its debugging pipe: no package is needed for that.

import { spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'

/** The command of a Chromium on this machine; undefined if there is none. */
export function find_browser() {
  const names = [process.env.CHROMIUM, 'chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'].filter(Boolean)
  return names.find((name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0)
}

export class Browser {
  constructor(command) {
    this.profile = fs.mkdtempSync(path.join(os.tmpdir(), 'book-'))
    this.process = spawn(command,
      ['--headless=new', '--no-sandbox', '--disable-gpu', '--no-first-run', '--hide-scrollbars', `--user-data-dir=${this.profile}`,
        '--remote-debugging-pipe', 'about:blank'],
      { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] })
    this.waiting = new Map()
    this.listeners = []
    this.last = 0
    this.process.on('exit', (code) => this.fail(new Error(`the browser has ended (${code})`)))
    for (const pipe of [this.process.stdio[3], this.process.stdio[4]]) pipe.on('error', (error) => this.fail(error))
    let rest = ''
    this.process.stdio[4].setEncoding('utf8')
    this.process.stdio[4].on('data', (text) => {
      const messages = (rest + text).split('\0')
      rest = messages.pop()
      for (const message of messages) this.receive(JSON.parse(message))
    })
  }

  fail(error) {
    this.ended = error
    for (const { reject } of this.waiting.values()) reject(error)
    this.waiting.clear()
  }

  receive(message) {
    const waiter = this.waiting.get(message.id)
    if (waiter) {
      this.waiting.delete(message.id)
      if (message.error) waiter.reject(new Error(`${waiter.method}: ${message.error.message}`))
      else waiter.resolve(message.result)
    } else for (const listener of [...this.listeners]) listener(message)
  }

  send(method, params = {}, session = this.session) {
    if (this.ended) return Promise.reject(this.ended)
    const id = ++this.last
    this.process.stdio[3].write(JSON.stringify({ id, method, params, sessionId: session }) + '\0')
    return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject, method }))
  }

  /** The next event of a name. */
  event(method, within = 180_000) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no ${method} within ${within} ms`)), within)
      const listener = (message) => {
        if (message.method !== method) return
        clearTimeout(timer)
        this.listeners.splice(this.listeners.indexOf(listener), 1)
        resolve(message.params)
      }
      this.listeners.push(listener)
    })
  }

  /** Opens a tab; all that a page complains about is kept in `complaints`. */
  async open() {
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' }, undefined)
    this.session = (await this.send('Target.attachToTarget', { targetId, flatten: true }, undefined)).sessionId
    this.complaints = []
    this.requests = []
    this.listeners.push(({ method, params }) => {
      if (method === 'Runtime.exceptionThrown')
        this.complaints.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text)
      if (method === 'Runtime.consoleAPICalled' && ['error', 'warning', 'assert'].includes(params.type))
        this.complaints.push(params.args.map((a) => a.value ?? a.description).join(' '))
      if (method === 'Log.entryAdded' && ['error', 'warning'].includes(params.entry.level))
        this.complaints.push(`${params.entry.text} ${params.entry.url ?? ''}`)
      if (method === 'Network.requestWillBeSent') this.requests.push(params.request.url)
    })
    for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await this.send(`${domain}.enable`)
  }

  size(width, height = 900) {
    return this.send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: width < 600 })
  }

  dark(on) {
    return this.send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: on ? 'dark' : 'light' }] })
  }

  /** Goes to a page; resolves once it has been loaded and its program runs. */
  async go(url) {
    const loaded = this.event('Page.loadEventFired')
    loaded.catch(() => {}) // it is awaited below, if the page is another one
    const { errorText, loaderId } = await this.send('Page.navigate', { url })
    if (errorText) throw new Error(`${url}: ${errorText}`)
    if (loaderId) await loaded // else it is the page that is there, at another anchor
    await this.until('document.querySelector("#app")?.__vue_app__ !== undefined')
  }

  async run(expression) {
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true })
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text)
    return result.value
  }

  /** Waits, frame by frame, until an expression is true, and returns its value. */
  async until(expression, within = 30_000) {
    return this.run(`new Promise((resolve, reject) => {
      const end = performance.now() + ${within}
      const look = () => {
        const value = (() => { try { return ${expression} } catch { return false } })()
        if (value) resolve(value)
        else if (performance.now() > end) reject(new Error(${JSON.stringify(`not within ${within} ms: ${expression}`)}))
        else setTimeout(look, 20)
      }
      look()
    })`)
  }

  async picture(file, whole = false) {
    const { data } = await this.send('Page.captureScreenshot', { format: 'png', captureBeyondViewport: whole })
    fs.writeFileSync(file, Buffer.from(data, 'base64'))
  }

  async end() {
    const ended = this.process.exitCode === null && new Promise((resolve) => this.process.once('exit', resolve))
    if (ended) {
      this.send('Browser.close', {}, undefined).catch(() => {}) // it may end before it answers
      await ended
    }
    fs.rmSync(this.profile, { recursive: true, force: true })
  }
}
