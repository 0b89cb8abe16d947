// What a reader expects, kept in the browser. Where it may keep nothing, all works, and is forgotten.

export const changed = 'ladder-prediction'
const key = (chapter, question) => `socket-ladder:${chapter}:${question}`

export function read(chapter, question) {
  try {
    return localStorage.getItem(key(chapter, question)) ?? ''
  } catch {
    return ''
  }
}

export function write(chapter, question, text) {
  try {
    if (text) localStorage.setItem(key(chapter, question), text)
    else localStorage.removeItem(key(chapter, question))
  } catch {
    return // storage is off or full
  }
  dispatchEvent(new Event(changed))
}

/** The answers open at once if there is a prediction; else the first click asks for one, and the second opens them. */
export function guard_answers() {
  addEventListener('click', (event) => {
    const summary = event.target.closest?.('details.answers > summary')
    const details = summary?.parentElement
    if (!details || details.open || details.dataset.asked) return
    const questions = Array.from({ length: Number(details.dataset.questions) }, (_, i) => i + 1)
    if (questions.some((q) => read(details.dataset.chapter, q))) return
    event.preventDefault()
    details.dataset.asked = 'yes'
    const note = document.createElement('span')
    note.className = 'ask-first'
    note.textContent = 'You have not written down what you expect, in section 3. Click again to open the answers all the same.'
    summary.append(note)
  })
}
