import type { CommandError } from '../errors.ts'
import { paint } from './colours.ts'
import { write } from './print.ts'

/** Writes a failure to standard error; with `-o json` the API's error body goes to standard output as well. */
export async function tellFailure(error: CommandError, words: string[]): Promise<void> {
  const { stderr } = process
  const label = paint('error:', 'red', stderr)
  const lines = safe(error.message)
    .split('\n')
    .map((line, index) => `${index === 0 ? `${label} ` : '       '}${line}`)
  const request = error.requestId ? paint(`   request ${safe(error.requestId)}`, 'dim', stderr) : ''
  const help = error.help.map(
    (command, index) => `${paint(index === 0 ? 'help: ' : '      ', 'bold', stderr)} ${safe(command)}`,
  )
  stderr.write(`${lines.join('\n')}${request}\n${help.map((line) => `${line}\n`).join('')}`)
  if (wantsJson(words) && error.body) await write(`${JSON.stringify(error.body, null, 2)}\n`)
}

/** Without control characters of the data, but with line ends. */
// oxlint-disable-next-line no-control-regex
const safe = (text: string) => text.replaceAll(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g, '\uFFFD')

const wantsJson = (words: string[]) =>
  words.some(
    (word, index) =>
      /^(-ojson|--output=json)$/.test(word) || ((word === '-o' || word === '--output') && words[index + 1] === 'json'),
  )
