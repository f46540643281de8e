import { Script } from 'node:vm'
import { CommandError } from '../errors.ts'

/** Steps that a test may take at worst before it is run with a time limit; a few milliseconds. */
const FREE_STEPS = 1_000_000
/** Time limit of one test, on one text. */
const LIMIT_MS = 500

/** An escaped character, a class, the beginning or end of a group, an alternative, a quantifier, or any character. */
const TOKEN = /\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?[imsx]+\)|\(\?:|(?:[*+?]|\{\d*,?\d*\})[?+]?|[^]/g
const QUANTIFIER = /^(?:[*+?]|\{\d*,?\d*\})[?+]?$/
/** References back, and groups that look around or have names. */
const BEYOND = /\\[1-9gk]|\(\?(?!:|[imsx]+\))/

/**
 * The degree of the polynomial that bounds the steps of a backtracking search in a text: one for the place where a match
 * begins, and one for each quantifier. Infinity when a quantified group has a quantifier or an alternative in it, or the
 * pattern refers back, as the steps then may grow exponentially.
 */
export const searchDegree = (pattern: string, options = ''): number => {
  // with the flag x, space may stand before a quantifier
  if (BEYOND.test(pattern) || options.includes('x') || /^\(\?\w*x/.test(pattern)) return Infinity
  const isAnchored = pattern.startsWith('^') && !options.includes('m') && !pattern.includes('|')
  let degree = isAnchored ? 0 : 1
  // for each open group: true if it has a quantifier or an alternative
  const groups: boolean[] = []
  let isRiskyGroup = false
  for (const [token] of pattern.matchAll(TOKEN)) {
    if (QUANTIFIER.test(token)) {
      if (isRiskyGroup) return Infinity
      degree++
      groups.fill(true)
    } else if (token === '|') groups.fill(true)
    else if (token === '(' || token === '(?:') groups.push(false)
    isRiskyGroup = token === ')' && groups.pop() === true
  }
  return degree
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
