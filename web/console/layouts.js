// Text of each key of a PC keyboard: alone, with Shift, with AltGr. After the layouts us and de of xkeyboard-config; the
// names of keys are those of "UI Events KeyboardEvent code Values" (W3C).
const shared = [
  ['Space', ' '],
  ['Enter', '\n'],
  ['Tab', '\t'],
]
const digits = (shifted, third = '') =>
  [...'1234567890'].map((digit, at) => [`Digit${digit}`, digit, shifted[at], third[at]])
const letters = (swapped = {}) =>
  [...'abcdefghijklmnopqrstuvwxyz'].map((letter) => [
    `Key${(swapped[letter] ?? letter).toUpperCase()}`,
    letter,
    letter.toUpperCase(),
  ])

const us = [
  ...shared,
  ...letters(),
  ...digits('!@#$%^&*()'),
  ['Backquote', '`', '~'],
  ['Minus', '-', '_'],
  ['Equal', '=', '+'],
  ['BracketLeft', '[', '{'],
  ['BracketRight', ']', '}'],
  ['Backslash', '\\', '|'],
  ['Semicolon', ';', ':'],
  ['Quote', "'", '"'],
  ['Comma', ',', '<'],
  ['Period', '.', '>'],
  ['Slash', '/', '?'],
]
const de = [
  ...shared,
  ...letters({ y: 'z', z: 'y' }),
  ...digits('!"§$%&/()=', ['', '²', '³', '', '', '', '{', '[', ']', '}']),
  ['KeyQ', '', '', '@'],
  ['KeyE', '', '', '€'],
  ['KeyM', '', '', 'µ'],
  ['Backquote', '^', '°'],
  ['Minus', 'ß', '?', '\\'],
  ['Equal', '´', '`'],
  ['BracketLeft', 'ü', 'Ü'],
  ['BracketRight', '+', '*', '~'],
  ['Semicolon', 'ö', 'Ö'],
  ['Quote', 'ä', 'Ä'],
  ['Backslash', '#', "'"],
  ['IntlBackslash', '<', '>', '|'],
  ['Comma', ',', ';'],
  ['Period', '.', ':'],
  ['Slash', '-', '_'],
]
/** Keys that wait for the next one, which is the space bar then. */
const dead = { us: '', de: '^´`' }

const held = [[], ['ShiftLeft'], ['AltRight']]
const strokesOf = (keys, waiting) =>
  new Map(
    keys.flatMap(([code, ...texts]) =>
      texts.flatMap((text, level) =>
        text ? [[text, [[...held[level], code], ...(waiting.includes(text) ? [['Space']] : [])]]] : [],
      ),
    ),
  )
const layouts = { us: strokesOf(us, dead.us), de: strokesOf(de, dead.de) }

/** Signs of a text that a layout has no key for, each once. */
export const missingIn = (layout, text) => [...new Set(text)].filter((sign) => !layouts[layout].has(sign)).join('')

/** Strokes that write a text with a layout: each is a list of keys that are held together. Signs without a key are left out. */
export const strokesFor = (layout, text) => [...text].flatMap((sign) => layouts[layout].get(sign) ?? [])
