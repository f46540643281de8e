const en = {
  again: 'Reconnect',
  asksPassword: 'The display asks for a password that is not known here',
  cancel: 'Cancel',
  cannotType: 'This layout has no key for: {signs}',
  closed: 'Closed',
  connected: 'Connected',
  connecting: 'Connecting…',
  ended: 'Ended',
  endedWith: 'It has ended with {code}',
  file: '.vv file',
  fileHint: 'For remote-viewer, over SPICE',
  fullScreen: 'Full screen',
  keyBar: 'Keys',
  keyboard: 'Keyboard',
  kinds: 'Kind of console',
  layout: 'Keyboard layout of the guest',
  leave: 'gives the keyboard back',
  lost: 'Connection lost',
  lostReason: 'The connection to the server was lost.',
  noConsole: 'No console',
  noRecording: 'No recording',
  notAllowed: 'Not allowed any more',
  password: 'Password',
  playAgain: 'Play again',
  realSize: '1:1',
  recording: 'Recording',
  recordingEnded: 'The recording has ended',
  refusesPassword: 'The display refuses the password',
  replaying: 'Replaying',
  screen: 'Screen',
  screenshot: 'Screenshot',
  sendKeys: 'Send keys',
  serverAnswers: 'The server answers {status}',
  signedOut: 'Signed out',
  signIn: 'Sign in',
  slow: 'Slow: for guests that lose keys',
  speed: 'Speed',
  stopping: 'The gateway is stopping',
  stopTyping: 'Stop typing',
  terminal: 'Terminal',
  text: 'Text',
  totp: 'Second factor, if you have one',
  typeText: 'Type text',
  username: 'User name',
  usual: 'Usual',
  watchOnly: 'View only',
}

/** @type {typeof en} */
const de = {
  again: 'Neu verbinden',
  asksPassword: 'Die Anzeige fragt nach einem Passwort, das hier nicht bekannt ist',
  cancel: 'Abbrechen',
  cannotType: 'Diese Belegung hat keine Taste für: {signs}',
  closed: 'Geschlossen',
  connected: 'Verbunden',
  connecting: 'Verbindet …',
  ended: 'Beendet',
  endedWith: 'Beendet mit {code}',
  file: '.vv-Datei',
  fileHint: 'Für remote-viewer, über SPICE',
  fullScreen: 'Vollbild',
  keyBar: 'Tasten',
  keyboard: 'Tastatur',
  kinds: 'Art der Konsole',
  layout: 'Tastaturbelegung des Gasts',
  leave: 'gibt die Tastatur zurück',
  lost: 'Verbindung verloren',
  lostReason: 'Die Verbindung zum Server ist abgebrochen.',
  noConsole: 'Keine Konsole',
  noRecording: 'Keine Aufzeichnung',
  notAllowed: 'Nicht mehr erlaubt',
  password: 'Passwort',
  playAgain: 'Noch einmal abspielen',
  realSize: '1:1',
  recording: 'Aufzeichnung',
  recordingEnded: 'Die Aufzeichnung ist zu Ende',
  refusesPassword: 'Die Anzeige lehnt das Passwort ab',
  replaying: 'Wird abgespielt',
  screen: 'Bildschirm',
  screenshot: 'Bildschirmfoto',
  sendKeys: 'Tasten senden',
  serverAnswers: 'Der Server antwortet {status}',
  signedOut: 'Abgemeldet',
  signIn: 'Anmelden',
  slow: 'Langsam: für Gäste, die Tasten verlieren',
  speed: 'Geschwindigkeit',
  stopping: 'Das Gateway wird beendet',
  stopTyping: 'Tippen beenden',
  terminal: 'Terminal',
  text: 'Text',
  totp: 'Zweiter Faktor, falls vorhanden',
  typeText: 'Text tippen',
  username: 'Benutzername',
  usual: 'Üblich',
  watchOnly: 'Nur ansehen',
}

export const dictionaries = { en, de }

// The choice of the web page counts here too.
const language = globalThis.localStorage?.getItem('horcrux.language') ?? navigator.language.slice(0, 2)
const words = dictionaries[language] ?? en

/** The text of a word, with `{name}` filled in. */
export const t = (word, values = {}) => words[word].replace(/\{(\w+)\}/g, (_, key) => String(values[key]))

/** Fills in the texts of the document: `data-word` is the text of an element, `data-title` and `data-label` its attributes. */
export function translate() {
  document.documentElement.lang = words === de ? 'de' : 'en'
  for (const element of document.querySelectorAll('[data-word]')) element.textContent = t(element.dataset.word)
  for (const element of document.querySelectorAll('[data-title]')) element.title = t(element.dataset.title)
  for (const element of document.querySelectorAll('[data-label]'))
    element.setAttribute('aria-label', t(element.dataset.label))
}
