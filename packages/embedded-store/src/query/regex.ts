import { CommandError } from '../errors.ts'

/** PCRE's named classes, as the inside of a class of JavaScript's. */
const NAMED_CLASSES: Record<string, string> = {
  alnum: 'a-zA-Z0-9',
  alpha: 'a-zA-Z',
  ascii: '\\x00-\\x7f',
  blank: ' \\t',
  cntrl: '\\x00-\\x1f\\x7f',
  digit: '0-9',
  graph: '\\x21-\\x7e',
  lower: 'a-z',
  print: '\\x20-\\x7e',
  punct: '!-\\/:-@\\[-`{-~',
  space: '\\t-\\r ',
  upper: 'A-Z',
  word: '\\w',
  xdigit: '0-9a-fA-F',
}

/** Escapes that PCRE and JavaScript write differently; both tables are for patterns with the flag `u`. */
const ESCAPES: Record<string, string> = {
  A: '^',
  z: '$',
  Z: '(?=\\n?$)',
  h: '[ \\t]',
  s: '[\\t-\\r ]',
  S: '[^\\t-\\r ]',
  R: '(?:\\r\\n|[\\n-\\r])',
  a: '\\x07',
  e: '\\x1b',
}
const CLASS_ESCAPES: Record<string, string> = { h: ' \\t', s: '\\t-\\r ', a: '\\x07', e: '\\x1b' }

type Flags = { i: boolean; m: boolean; s: boolean; x: boolean }

const escaped = (character: string, isInClass: boolean): string => {
  const known = (isInClass ? CLASS_ESCAPES : ESCAPES)[character]
  if (known !== undefined) return known
  const needsNone = /[^\w^$\\.*+?()[\]{}|/-]/.test(character) || (character === '-' && !isInClass)
  return needsNone ? character : `\\${character}`
}

/** A class from its opening bracket on, and where it ends. */
const classAt = (pattern: string, start: number): { text: string; end: number } => {
  let at = start + 1
  let text = '['
  if (pattern[at] === '^') text += pattern[at++]
  // a bracket in the first place stands for itself
  if (pattern[at] === ']') {
    text += '\\]'
    at++
  }
  for (; at < pattern.length && pattern[at] !== ']'; at++) {
    const named = pattern[at] === '[' ? /^\[:(\w+):\]/.exec(pattern.slice(at)) : null
    if (named) {
      text += NAMED_CLASSES[named[1] as string] ?? named[0]
      at += named[0].length - 1
    } else if (pattern[at] === '\\') text += escaped(pattern[++at] ?? '', true)
    else text += pattern[at] === '[' ? '\\[' : pattern[at]
  }
  return { text: `${text}]`, end: at }
}

/** Flags at the beginning of a pattern, as in `(?i)web`, count for all of it. */
const leadingFlags = (pattern: string, flags: Flags): string => {
  const found = /^\(\?([imsx]+)\)/.exec(pattern)
  if (!found) return pattern
  for (const flag of found[1] as string) flags[flag as keyof Flags] = true
  return leadingFlags(pattern.slice(found[0].length), flags)
}

const translated = (pattern: string, flags: Flags): string => {
  let text = ''
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern[at] as string
    if (character === '\\') text += escaped(pattern[++at] ?? '', false)
    else if (character === '[') {
      const found = classAt(pattern, at)
      text += found.text
      at = found.end
    } else if (flags.x && /\s/.test(character)) continue
    else if (flags.x && character === '#') at = (pattern.indexOf('\n', at) + pattern.length) % pattern.length
    else if (character === '.') text += flags.s ? '[\\s\\S]' : '[^\\n]'
    else if (character === '$') text += flags.m ? '(?=\\n|$)' : '(?=\\n?$)'
    else if (character === '^') text += flags.m ? '(?:^|(?<=\\n))' : '^'
    else text += character
  }
  return text
}

/** @throws CommandError 51108 for a flag that is none */
export const checkFlags = (options: string): void => {
  const wrong = /[^imsxu]/.exec(options)
  if (wrong) throw new CommandError(51108, `invalid flag in regex options: ${wrong[0]}`)
}

/**
 * A pattern of PCRE's, as MongoDB takes them, as JavaScript's: dots, carets and dollars know only `\n` as the end of a line, a
 * dollar matches before the last of them too, and the flag `x` lets patterns have space and remarks.
 * @throws CommandError 51108 for an unknown flag, 51091 for what is no pattern
 */
export const toRegExp = (pattern: string, options: string): RegExp => {
  checkFlags(options)
  const flags: Flags = { i: false, m: false, s: false, x: false }
  for (const option of options) if (option !== 'u') flags[option as keyof Flags] = true
  const source = translated(leadingFlags(pattern, flags), flags)
  try {
    return new RegExp(source, flags.i ? 'iu' : 'u')
  } catch {
    try {
      return new RegExp(source, flags.i ? 'i' : '')
    } catch (error) {
      throw new CommandError(51091, `Regular expression is invalid: ${(error as Error).message}`)
    }
  }
}
