import { Script } from 'node:vm'
import { CommandError } from '../errors.ts'

/** Steps that a test may take at worst before it is run with a time limit; a few milliseconds. */
const FREE_STEPS = 1_000_000
/** Time limit of one test, on one text. */
const LIMIT_MS = 500

const QUANTIFIER = /^(?:[*+?]|\{\d*,?\d*\})/

/**
 * The degree of the polynomial that bounds the steps of a backtracking search in a text: one for the place where a match
 * begins, and one for each quantifier. Infinity when a quantified group has a quantifier or an alternative in it, or the
 * pattern refers back, as the steps then may grow exponentially.
 */
export const searchDegree = (pattern: string, options = ''): number => {
  // with the flag x, space may stand before a quantifier
  if (options.includes('x') || /^\(\?\w*x/.test(pattern)) return Infinity
  const isAnchored = pattern.startsWith('^') && !options.includes('m') && !pattern.includes('|')
  let degree = isAnchored ? 0 : 1
  // for each open group: whether it has a quantifier or an alternative in it
  const groups: boolean[] = []
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern[at]
    let isRisky = false
    if (character === '\\') {
      at++
      if (/[1-9gk]/.test(pattern[at] ?? '')) return Infinity
    } else if (character === '[') {
      at = classEnd(pattern, at)
    } else if (character === '(') {
      if (/^\(\?(?!:)/.test(pattern.slice(at)) && !/^\(\?[imsx]+\)/.test(pattern.slice(at))) return Infinity
      groups.push(false)
      if (pattern[at + 1] === '?') at++
      continue
    } else if (character === ')') isRisky = groups.pop() ?? false
    else if (character === '|') groups.fill(true)
    const quantifier = QUANTIFIER.exec(pattern.slice(at + 1))?.[0]
    if (quantifier === undefined) {
      if (isRisky && groups.length > 0) groups.fill(true)
      continue
    }
    if (isRisky) return Infinity
    degree++
    groups.fill(true)
    at += quantifier.length
  }
  return degree
}

const classEnd = (pattern: string, start: number): number => {
  let at = start + 1
  if (pattern[at] === '^') at++
  // a bracket in the first place stands for itself
  for (at++; at < pattern.length && pattern[at] !== ']'; at++) if (pattern[at] === '\\') at++
  return at
}

/** Called by the script; a property of the global object, as the script runs in this context. */
const HOOK = Symbol.for('horcrux.regexTest')
const shared = globalThis as { [HOOK]?: () => boolean }
let script: Script | undefined

const testWithin = (regex: RegExp, text: string): boolean => {
  script ??= new Script(`globalThis[Symbol.for('horcrux.regexTest')]()`)
  shared[HOOK] = () => regex.test(text)
  try {
    return script.runInThisContext({ timeout: LIMIT_MS }) as boolean
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error
    throw new CommandError(50, `The regular expression ${regex.source} takes more than ${LIMIT_MS} ms on one text`)
  } finally {
    delete shared[HOOK]
  }
}

/** A test of a pattern that cannot hang: one that may take long on this text is interrupted. @throws CommandError 50 */
export const guardedTest = (regex: RegExp, pattern: string, options: string): ((text: string) => boolean) => {
  const degree = searchDegree(pattern, options)
  return (text) =>
    // an infinite degree has no bound from a dozen characters on
    (degree === Infinity ? 2 ** Math.min(text.length, 60) : text.length ** degree) <= FREE_STEPS
      ? regex.test(text)
      : testWithin(regex, text)
}
