import { missingIn, strokesFor } from './layouts.js'
import { t } from './words.js'

const $ = (selector) => document.querySelector(selector)
const layoutKey = 'horcrux.layout'

/** Keysyms of X11 for the keys that are no text; a server that knows the positions of keys needs none. */
const keysyms = {
  AltLeft: 0xffe9,
  AltRight: 0xfe03,
  ArrowDown: 0xff54,
  ArrowLeft: 0xff51,
  ArrowRight: 0xff53,
  ArrowUp: 0xff52,
  Backspace: 0xff08,
  ControlLeft: 0xffe3,
  Delete: 0xffff,
  Enter: 0xff0d,
  Escape: 0xff1b,
  MetaLeft: 0xffeb,
  PrintScreen: 0xff61,
  ShiftLeft: 0xffe1,
  Space: 0x20,
  Tab: 0xff09,
}
const keysymOf = (code) =>
  keysyms[code] ?? (/^F\d+$/.test(code) ? 0xffbd + Number(code.slice(1)) : code.at(-1).toLowerCase().codePointAt(0))

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** Keys that are held until the next stroke, by the bar of a phone. */
const held = new Set()

function showHeld() {
  for (const button of document.querySelectorAll('#bar [data-hold]'))
    button.setAttribute('aria-pressed', String(held.has(button.dataset.hold)))
}

/** The keys that are held, for one stroke. */
function takeHeld() {
  const taken = [...held]
  held.clear()
  showHeld()
  return taken
}

/** Presses keys together, and lets them go in the opposite order. */
function press(rfb, codes) {
  for (const code of codes) rfb.sendKey(keysymOf(code), code, true)
  for (const code of codes.toReversed()) rfb.sendKey(keysymOf(code), code, false)
}

/** Strokes that wait, each with the connection that it is for. */
const waiting = []
let isTyping = false

/** Sends strokes after those before them, one after the other: the keyboard of a PC holds few of them. */
async function send(rfb, [first = [], ...rest]) {
  for (const codes of [[...takeHeld(), ...first], ...rest]) waiting.push({ rfb, codes })
  if (isTyping) return
  isTyping = true
  $('#type').textContent = t('stopTyping')
  for (let next = waiting.shift(); next; next = waiting.shift()) {
    press(next.rfb, next.codes)
    await pause(Number($('#speed').value))
  }
  $('#type').textContent = t('typeText')
  isTyping = false
}

/** Ends the typing of a text, such as when its connection has ended. */
export function stopTyping() {
  waiting.length = 0
}

const type = (rfb, text) => send(rfb, strokesFor($('#layout').value, text))

/** Bytes of a text for a terminal while Ctrl or Alt is held on the bar: a control letter, and the text after Escape. */
export function withHeld(text) {
  if (held.size === 0) return text
  const keys = takeHeld()
  const hasControl = keys.includes('ControlLeft') && /^[@-_a-z]$/.test(text)
  const sent = hasControl ? String.fromCodePoint(text.codePointAt(0) & 0x1f) : text
  return keys.includes('AltLeft') ? `\u001B${sent}` : sent
}

const sequences = {
  Escape: '\u001B',
  Tab: '\t',
  ArrowUp: '\u001B[A',
  ArrowDown: '\u001B[B',
  ArrowRight: '\u001B[C',
  ArrowLeft: '\u001B[D',
}

/**
 * Connects the buttons.
 * @param shown gives what is shown now: a screen with `rfb`, or a terminal
 * @returns a function that gives a new connection the modes that are chosen
 */
export function useKeys(shown) {
  const toScreen = (work) => void (shown()?.rfb && work(shown().rfb))
  const combination = $('#keys')
  combination.addEventListener('change', () => {
    toScreen((rfb) => send(rfb, [combination.value.split('+')]))
    combination.selectedIndex = 0
    shown()?.focus()
  })

  const [dialog, text, layout] = [$('#typing'), $('#text'), $('#layout')]
  layout.value = localStorage.getItem(layoutKey) ?? 'us'
  const look = () => {
    localStorage.setItem(layoutKey, layout.value)
    const missing = missingIn(layout.value, text.value.replaceAll('\r', ''))
    $('#missing').textContent = missing && t('cannotType', { signs: [...missing].join(' ') })
  }
  for (const each of [text, layout]) each.addEventListener('input', look)
  $('#type').addEventListener('click', () => {
    if (isTyping) return stopTyping()
    // Escape leaves the value of the last time.
    dialog.returnValue = ''
    dialog.showModal()
    look()
  })
  dialog.addEventListener('close', () => {
    const written = text.value
    text.value = ''
    shown()?.focus()
    if (dialog.returnValue === 'type') toScreen((rfb) => type(rfb, written))
  })

  for (const button of document.querySelectorAll('#bar button')) {
    // The focus stays, and with it the keyboard of a phone.
    button.addEventListener('pointerdown', (event) => event.preventDefault())
    button.addEventListener('click', () => {
      const { hold, key } = button.dataset
      if (hold) held[held.has(hold) ? 'delete' : 'add'](hold)
      else if (key && shown()?.rfb) void send(shown().rfb, [[key]])
      else if (key) shown()?.terminal.input(sequences[key])
      else if (shown()?.rfb) $('#touch').focus()
      else shown()?.focus()
      showHeld()
    })
  }
  const touch = $('#touch')
  // A sign stays before the caret, so that the keyboard of a phone has something to delete.
  const reset = () => {
    touch.value = ' '
    touch.setSelectionRange(1, 1)
  }
  touch.addEventListener('focus', () => requestAnimationFrame(reset))
  touch.addEventListener('input', ({ isComposing, inputType, data }) => {
    // A word that is being composed is told once, at its end.
    if (isComposing || inputType === 'insertCompositionText') return
    reset()
    toScreen((rfb) => (inputType.startsWith('delete') ? send(rfb, [['Backspace']]) : type(rfb, data ?? '\n')))
  })
  touch.addEventListener('compositionend', ({ data }) => {
    reset()
    toScreen((rfb) => type(rfb, data))
  })
  touch.addEventListener('keydown', (event) => {
    if (event.isComposing || !['Enter', 'Backspace'].includes(event.key)) return
    event.preventDefault()
    toScreen((rfb) => send(rfb, [[event.key]]))
  })

  const isOn = (id) => $(id).getAttribute('aria-pressed') === 'true'
  const setModes = () =>
    toScreen((rfb) => {
      const isReal = isOn('#real')
      Object.assign(rfb, {
        scaleViewport: !isReal,
        clipViewport: isReal,
        dragViewport: isReal,
        viewOnly: isOn('#watch'),
      })
    })
  for (const id of ['#real', '#watch'])
    $(id).addEventListener('click', () => {
      $(id).setAttribute('aria-pressed', String(!isOn(id)))
      setModes()
      shown()?.focus()
    })
  $('#picture').addEventListener('click', () =>
    toScreen((rfb) =>
      rfb.toBlob((blob) => {
        const link = document.createElement('a')
        link.href = URL.createObjectURL(blob)
        link.download = `${document.title.split(' ')[0]}.png`
        link.click()
        URL.revokeObjectURL(link.href)
      }),
    ),
  )
  return setModes
}
