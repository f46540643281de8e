import { invalid } from '#shared/errors.ts'

const safeWord = /^[A-Za-z0-9_/.:@%+,-]+$/
const variableName = /^[A-Za-z_][A-Za-z0-9_]*$/

/** Refuses words with a NUL character, which no program argument can contain. @throws ValidationError */
export function refuseNul(words: readonly string[]): void {
  if (words.some((word) => word.includes('\0')))
    throw invalid('arguments', 'a command argument cannot contain a NUL character')
}

/**
 * Quotes one word for a POSIX shell:
 * https://pubs.opengroup.org/onlinepubs/9699919799/utilities/V3_chap02.html#tag_18_02
 */
export function quote(word: string): string {
  refuseNul([word])
  return safeWord.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`
}

/**
 * Makes the shell command that replaces the shell by this program with these arguments, environment additions and
 * working directory.
 * @throws ValidationError for a NUL or a bad variable name
 */
export function quoteCommand(
  program: string,
  args: readonly string[],
  { env = {}, cwd }: { env?: Record<string, string> | undefined; cwd?: string | undefined } = {},
): string {
  const exports = Object.entries(env).map(([name, value]) => {
    if (!variableName.test(name)) throw invalid('env', `'${name}' is not the name of an environment variable`)
    return `export ${name}=${quote(value)}`
  })
  const enter = cwd === undefined ? [] : [`cd -- ${quote(cwd.startsWith('-') ? `./${cwd}` : cwd)}`]
  if (program.startsWith('-'))
    throw invalid('program', `'${program}' is not a program: the shell would take it for an option`)
  return [...enter, ...exports, `exec ${[program, ...args].map(quote).join(' ')}`].join(' && ')
}
