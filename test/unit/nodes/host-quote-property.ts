import fc from 'fast-check'
import { expect } from 'vitest'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { quoteCommand } from '#shared/nodes/host/quote.ts'

const host = localHost()
const hostile = [
  "'",
  '"',
  '\\',
  '\n',
  '\r',
  '\t',
  ' ',
  '$HOME',
  '$(id)',
  '`id`',
  '*',
  '~',
  '!',
  '#',
  ';',
  '&',
  '|',
  '<',
  '>',
  '(',
  '{',
  '-',
  '=',
  '',
  'ü',
  '🦉',
  '\u{7f}',
  '\u{1}',
]
const word = fc
  .oneof(
    fc.string({ unit: 'binary' }),
    fc.array(fc.constantFrom(...hostile)).map((parts) => parts.join('')),
  )
  .map((text) => text.replaceAll('\0', ''))

type Runs = { numRuns: number; seed?: number }

/** A shell hands over any arguments unchanged. */
export async function argumentsArrive(shell: string, runs: Runs): Promise<void> {
  await fc.assert(
    fc.asyncProperty(fc.array(word), async (args) => {
      // printf prints its format once even without arguments.
      const command = quoteCommand('printf', ['%s\\0', ...args, 'end'])
      const { stdout } = await host.runChecked(shell, ['-c', command])
      expect(stdout.split('\0')).toEqual([...args, 'end', ''])
    }),
    runs,
  )
}

/** A shell hands over any value of a variable unchanged. */
export async function environmentArrives(shell: string, runs: Runs): Promise<void> {
  await fc.assert(
    fc.asyncProperty(word, async (value) => {
      const command = quoteCommand('printenv', ['-0', 'HORCRUX_x1'], { env: { HORCRUX_x1: value } })
      expect((await host.runChecked(shell, ['-c', command])).stdout).toBe(`${value}\0`)
    }),
    runs,
  )
}
