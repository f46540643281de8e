import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ValidationError } from '#shared/errors.ts'
import { localHost } from '#shared/host/local.ts'
import { quoteCommand } from '#shared/host/quote.ts'

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

describe.each(['sh', 'bash'])('the quoting function, read by %s', (shell) => {
  it('hands over any arguments unchanged', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(word), async (args) => {
        // printf prints its format once even without arguments.
        const command = quoteCommand('printf', ['%s\\0', ...args, 'end'])
        const { stdout } = await host.runChecked(shell, ['-c', command])
        expect(stdout.split('\0')).toEqual([...args, 'end', ''])
      }),
      { numRuns: 100 },
    )
  })

  it('hands over any environment unchanged', async () => {
    await fc.assert(
      fc.asyncProperty(word, async (value) => {
        const command = quoteCommand('printenv', ['-0', 'HORCRUX_x1'], { env: { HORCRUX_x1: value } })
        expect((await host.runChecked(shell, ['-c', command])).stdout).toBe(`${value}\0`)
      }),
      { numRuns: 40 },
    )
  })

  it('runs nothing when it cannot enter the working directory', async () => {
    const { code, stdout } = await host.run(shell, ['-c', quoteCommand('echo', ['ran'], { cwd: "/no such/dir'" })])
    expect([code === 0, stdout]).toEqual([false, ''])
  })
})

describe('the quoting function', () => {
  it.each([
    ['a NUL in an argument', () => quoteCommand('echo', ['a\0b'])],
    ['a NUL in the environment', () => quoteCommand('echo', [], { env: { A: '\0' } })],
    ['a variable name with shell text', () => quoteCommand('echo', [], { env: { 'A;id': '' } })],
    ['a program that a shell would take for an option', () => quoteCommand('-c', ['id'])],
  ])('refuses %s', (_what, quoting) => {
    expect(quoting).toThrow(ValidationError)
  })
})
