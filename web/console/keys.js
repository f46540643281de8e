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
const sticky = new Set()

/** Presses keys together, and lets them go in the opposite order. */
function press(rfb, codes) {
  const all = [...sticky, ...codes]
  for (const code of all) rfb.sendKey(keysymOf(code), code, true)
  for (const code of all.toReversed()) rfb.sendKey(keysymOf(code), code, false)
  sticky.clear()
  showSticky()
}

function showSticky() {
  for (const button of document.querySelectorAll('#bar [data-hold]'))
    button.setAttribute('aria-pressed', String(sticky.has(button.dataset.hold)))
}

/** Strokes that wait. */
const waiting = []

/** Sends strokes after those before them, one after the other: the keyboard of a PC holds few of them. */
async function send(rfb, ...strokes) {
  const isAtWork = waiting.length > 0
  waiting.push(...strokes)
  if (isAtWork) return
  while (waiting.length > 0) {
    press(rfb, waiting[0])
    await pause(Number($('#speed').value))
    waiting.shift()
  }
}

const type = (rfb, text) => send(rfb, ...strokesFor($('#layout').value, text))

/** The control letter of a terminal, such as that of Ctrl+C, if Ctrl is held on the bar. */
export function withControl(text) {
  if (!sticky.has('ControlLeft') || text.length !== 1) return text
  sticky.clear()
  showSticky()
  return String.fromCodePoint(text.toUpperCase().codePointAt(0) & 0x1f)
}

const sequences = {
  Escape: '\u001B',
  Tab: '\t',
  ArrowUp: '\u001B[A',
  ArrowDown: '\u001B[B',
  ArrowRight: '\u001B[C',
  ArrowLeft: '\u001B[D',
}

/** @param shown gives what is shown now: a screen with `rfb`, or a terminal */
export function useKeys(shown) {
  const toScreen = (work) => void (shown()?.rfb && work(shown().rfb))
  const combination = $('#keys')
  combination.addEventListener('change', () => {
    toScreen((rfb) => send(rfb, combination.value.split('+')))
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
      if (hold) sticky[sticky.has(hold) ? 'delete' : 'add'](hold)
      else if (key && shown()?.rfb) void send(shown().rfb, [key])
      else if (key) shown()?.terminal.input(sequences[key])
      else if (shown()?.rfb) $('#touch').focus()
      else shown()?.focus()
      showSticky()
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
    if (isComposing) return
    reset()
    toScreen((rfb) => (inputType.startsWith('delete') ? send(rfb, ['Backspace']) : type(rfb, data ?? '\n')))
  })
  touch.addEventListener('compositionend', ({ data }) => {
    reset()
    toScreen((rfb) => type(rfb, data))
  })
  touch.addEventListener('keydown', (event) => {
    if (event.isComposing || !['Enter', 'Backspace'].includes(event.key)) return
    event.preventDefault()
    toScreen((rfb) => send(rfb, [event.key]))
  })

  for (const [id, turn] of [
    ['#real', (rfb, isOn) => Object.assign(rfb, { scaleViewport: !isOn, clipViewport: isOn, dragViewport: isOn })],
    ['#watch', (rfb, isOn) => Object.assign(rfb, { viewOnly: isOn })],
  ]) {
    const button = $(id)
    button.addEventListener('click', () => {
      const isOn = button.getAttribute('aria-pressed') !== 'true'
      button.setAttribute('aria-pressed', String(isOn))
      toScreen((rfb) => turn(rfb, isOn))
      shown()?.focus()
    })
  }
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
}
