import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { audit } from '../../../bin/commands/audit.ts'
import { verifyStream } from '../../../services/audit/verify/verify-file.ts'
import { chainOf, exportOf, publicKey } from './exports.ts'

const lines = exportOf(chainOf(30))
let dir: string
const inDir = async (name: string, content: string) => {
  await writeFile(join(dir, name), content)
  return join(dir, name)
}
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'horcrux-audit-'))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

/** Runs the command. @returns its exit code and what it has said */
async function run(...words: string[]): Promise<{ code: number; said: string }> {
  let said = ''
  const take = (text: unknown) => Boolean((said += String(text)))
  const spies = [process.stdout, process.stderr].map((stream) => vi.spyOn(stream, 'write').mockImplementation(take))
  try {
    return { code: await audit(words), said }
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
}

test('exit code 0 for an intact export, 1 and the place for a changed one', async () => {
  const key = await inDir('key', `${publicKey}\n`)
  const whole = await inDir('whole', `${lines.join('\n')}\n`)
  expect(await run('verify', whole, '--key', key)).toMatchObject({ code: 0 })
  const cut = await inDir('cut', lines.toSpliced(7, 1).join('\n'))
  const { code, said } = await run('verify', cut, '--key', key)
  expect(code).toBe(1)
  expect(said).toContain('missing: record 7 is not there: the gap is before line 8')
})

test('without a key the fingerprint of the file’s own is shown, to be compared', async () => {
  const { code, said } = await run('verify', await inDir('export', lines.join('\n')))
  expect(code).toBe(0)
  expect(said).toMatch(/No --key was given: .* SHA256:[A-Za-z0-9+/]{43}/)
})

test('a file that cannot be read is a mistake of the command line, not a verdict', async () => {
  await expect(run('verify', join(dir, 'nothing'))).rejects.toThrow(/cannot be read/)
  await expect(run('verify', await inDir('some', ''), '--key', join(dir, 'some'))).rejects.toThrow(
    /no Ed25519 public key/,
  )
  await expect(run('verify')).rejects.toThrow(/^name the file: /)
  await expect(run('verify', 'one', 'two')).rejects.toThrow(/^one file at a time: /)
  await expect(run('verfy', 'one')).rejects.toThrow(/^there is no 'audit verfy': /)
  await expect(run()).rejects.toThrow(/^say what to do: /)
  await expect(run('verify', 'one', '--kye')).rejects.toThrow(/^Unknown option '--kye'$/)
})

test.each([
  ['nothing', ''],
  ['a page of JSON', '{"data":[],"next_cursor":null,"total":0}'],
  ['a refusal', '{"status":401,"error":"AUTHENTICATION_FAILED","message":"Sign in first"}\n'],
  ['something else', 'hello\n'.repeat(5000)],
])('%s is no export, whatever its lines are', async (name, content) => {
  const file = await inDir(name, content)
  await expect(run('verify', file)).rejects.toThrow(/is no export of the audit/)
})

test('lines that are cut anywhere by the reader are put together, and one without an end is not held', async () => {
  const text = Buffer.from(lines.join('\n'))
  async function* pieces() {
    for (let at = 0; at < text.length; at += 97) yield text.subarray(at, at + 97)
  }
  expect(await verifyStream(pieces(), { publicKey })).toMatchObject({ valid: true, records: 30 })
  async function* endless() {
    yield Buffer.from(`${lines[0]}\n`)
    for (let i = 0; i < 64; i++) yield Buffer.alloc(2 ** 18, 'x')
  }
  const { findings } = await verifyStream(endless(), { publicKey })
  expect(findings[0]).toMatchObject({ line: 2, problem: 'malformed', message: 'record 1: it is longer than 1 MiB' })
})
