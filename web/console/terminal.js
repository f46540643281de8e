import { FitAddon } from '@xterm/addon-fit'
import '@xterm/xterm/css/xterm.css'
import { Terminal } from '@xterm/xterm'
import { withHeld } from './keys.js'
import { t } from './words.js'

/** A terminal that fills the view. A serial line has no size of its own: guests think of 80 × 24. */
export function makeTerminal(view, { reading = false } = {}) {
  view.classList.add('terminal')
  const terminal = new Terminal({
    cursorBlink: !reading,
    disableStdin: reading,
    scrollback: 10_000,
    fontSize: 14,
    fontFamily: 'ui-monospace, "DejaVu Sans Mono", monospace',
    theme: { background: '#000000', foreground: '#e7eaf0', cursor: '#6fc297' },
  })
  const fit = new FitAddon()
  terminal.loadAddon(fit)
  terminal.open(view)
  fit.fit()
  const observer = new ResizeObserver(() => fit.fit())
  observer.observe(view)
  return {
    terminal,
    dispose: () => {
      observer.disconnect()
      terminal.dispose()
    },
  }
}

/** Joins a terminal with a serial console. */
export function showTerminal(view, socket, { ready }) {
  const { terminal, dispose } = makeTerminal(view)
  const encoder = new TextEncoder()
  const send = (bytes) => socket.readyState === WebSocket.OPEN && socket.send(bytes)
  socket.addEventListener('open', () => {
    ready()
    terminal.focus()
  })
  socket.addEventListener('message', ({ data }) => terminal.write(new Uint8Array(data)))
  terminal.onData((text) => send(encoder.encode(withHeld(text))))
  terminal.onBinary((text) => send(Uint8Array.from(text, (sign) => sign.codePointAt(0))))
  return { terminal, dispose, focus: () => terminal.focus() }
}

/** A command's end, in words. */
const endOf = ({ exit_code: code, reason, message }) => message ?? (code === null ? reason : t('endedWith', { code }))

/**
 * Joins a terminal with a command in a container: binary messages begin with the number of their stream, texts are JSON;
 * the size of the terminal follows that of the window.
 */
export function showShell(view, socket, { ready }) {
  const { terminal, dispose } = makeTerminal(view)
  const encoder = new TextEncoder()
  const isOpen = () => socket.readyState === WebSocket.OPEN
  const send = (bytes) => isOpen() && socket.send(bytes)
  const tell = () =>
    isOpen() && socket.send(JSON.stringify({ resize: { columns: terminal.cols, rows: terminal.rows } }))
  socket.addEventListener('open', () => {
    ready()
    tell()
    terminal.focus()
  })
  socket.addEventListener('message', ({ data }) => {
    if (typeof data === 'string') terminal.write(`\r\n${endOf(JSON.parse(data))}\r\n`)
    else terminal.write(new Uint8Array(data, 1))
  })
  terminal.onData((text) => send(encoder.encode(withHeld(text))))
  terminal.onBinary((text) => send(Uint8Array.from(text, (sign) => sign.codePointAt(0))))
  terminal.onResize(tell)
  return { terminal, dispose, focus: () => terminal.focus() }
}
