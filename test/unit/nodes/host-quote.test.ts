import { describe, expect, it } from 'vitest'
import { ValidationError } from '#shared/errors.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { quoteCommand } from '#shared/nodes/host/quote.ts'
import { argumentsArrive, environmentArrives } from './host-quote-property.ts'

const host = localHost()

describe.each(['sh', 'bash'])('the quoting function, read by %s', (shell) => {
  it('hands over any arguments unchanged (a sample)', () => argumentsArrive(shell, { numRuns: 20 }))

  it('hands over any environment unchanged (a sample)', () => environmentArrives(shell, { numRuns: 10 }))

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
