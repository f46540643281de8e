import { ask, Refused, signIn } from './api.js'
import { stopTyping, useKeys } from './keys.js'
import { t, translate } from './words.js'

const query = new URLSearchParams(location.search)
const container = query.get('container')
const vm = query.get('vm') ?? ''
const type = container !== null ? 'shell' : query.get('type') === 'serial' ? 'serial' : 'vnc'
const recording = query.get('recording')
const $ = (selector) => document.querySelector(selector)
const view = $('#view')
let shown

/** The state for the eye, for screen readers and for programs (`body[data-state]`, `body[data-reason]`). */
function say(state, reason = '') {
  document.body.dataset.state = state
  document.body.dataset.reason = reason
  $('#state span').textContent = state === 'connected' && reason ? reason : t(state)
  $('#closed').hidden = state !== 'closed'
  $('#why').textContent = reason
  const isLive = state === 'connected' && recording === null
  $('#for-screen').hidden = !isLive || type !== 'vnc'
  for (const part of ['#leave', '#bar']) $(part).hidden = !isLive
  if (state === 'closed') $('#again').focus()
}

/** Meanings of the gateway's close codes. */
const titles = { 1001: 'stopping', 4401: 'signedOut', 4403: 'notAllowed', 4410: 'ended' }

function closed({ code, reason }) {
  stopTyping()
  $('#what').textContent = t(titles[code] ?? 'lost')
  say('closed', reason || t('lostReason'))
}

/** Bash where there is one; some images have only `sh`. */
const shell = ['sh', '-c', 'command -v bash >/dev/null 2>&1 && exec bash || exec sh']
const terminal = { columns: 80, rows: 24 }

/** A ticket for the console, and the function that shows what it opens. */
async function open() {
  if (type === 'shell') {
    const { showShell } = await import('./terminal.js')
    const path = `/containers/${encodeURIComponent(container)}/exec/socket`
    return { show: showShell, ticket: await ask('POST', path, { command: shell, terminal }) }
  }
  const show =
    type === 'serial' ? (await import('./terminal.js')).showTerminal : (await import('./screen.js')).showScreen
  return { show, ticket: await ask('POST', `/console/${encodeURIComponent(vm)}/${type}`) }
}

/** Gets a ticket, opens the console and shows it. */
async function connect() {
  say('connecting')
  shown?.dispose?.()
  view.replaceChildren()
  view.className = ''
  try {
    if (recording) {
      $('#what').textContent = t('recording')
      const { replay } = await import('./replay.js')
      return await replay(view, encodeURIComponent(vm), encodeURIComponent(recording), say)
    }
    const { show, ticket } = await open()
    const { websocket_path, password } = ticket
    const address = new URL(websocket_path, location.href)
    address.protocol = location.protocol.replace('http', 'ws')
    const socket = new WebSocket(address, 'binary')
    socket.binaryType = 'arraybuffer'
    socket.addEventListener('close', closed)
    const ready = () => {
      setModes()
      say('connected')
    }
    const failed = (reason) => closed({ code: 0, reason })
    shown = show(view, socket, { password, ready, failed })
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    if (error.status === 401) {
      await signIn()
      return connect()
    }
    $('#what').textContent = t('noConsole')
    say('closed', error.message)
  }
}

/** Downloads the file for remote-viewer, with a separate ticket. */
async function viewerFile() {
  try {
    const { ticket } = await ask('POST', `/console/${encodeURIComponent(vm)}/spice`)
    location.assign(`/api/console/${encodeURIComponent(vm)}/vv?ticket=${ticket}`)
  } catch (error) {
    $('#state span').textContent = error.message
  }
}

const modifiers = ['Control', 'Alt', 'Shift']
let isLeaving = false
/** Ctrl+Alt+Shift gives the keyboard back: all other keys, also Tab, go to the guest. It sees the keys released first. */
function onKey({ type: kind, key, ctrlKey, altKey, shiftKey }) {
  if (kind === 'keydown') isLeaving = modifiers.includes(key) && (isLeaving || (ctrlKey && altKey && shiftKey))
  else if (isLeaving && !ctrlKey && !altKey && !shiftKey) {
    isLeaving = false
    $('#whole').focus()
  }
}
addEventListener('keydown', onKey, true)
addEventListener('keyup', onKey, true)

translate()
if (recording) $('#again').textContent = t('playAgain')
// In the frame of the web page its own head is enough.
if (query.has('embedded')) document.body.classList.add('embedded')
$('#name').textContent = container ?? vm
document.title = `${container ?? vm} · Horcrux`
for (const part of ['nav', '#file']) $(part).hidden = type === 'shell'
for (const kind of ['vnc', 'serial']) {
  const link = $(`#to-${kind}`)
  link.href = `?${new URLSearchParams({ vm, type: kind })}`
  if (kind === type) link.setAttribute('aria-current', 'page')
}
$('#again').addEventListener('click', connect)
const setModes = useKeys(() => shown)
$('#file').addEventListener('click', viewerFile)
$('#whole').addEventListener('click', () => document.documentElement.requestFullscreen())
await connect()
