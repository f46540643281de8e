import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ConfigError, readConfig } from '#shared/config/config.ts'
import { selfSigned } from '../../../services/gateway/tls/certificate.ts'

let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'horcrux-config-'))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

function mistakesOf(env: Record<string, string>): string[] {
  try {
    readConfig({ HORCRUX_DATA: dir, ...env })
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.mistakes
    throw error
  }
}

test('unreadable files are reported together with all other mistakes', async () => {
  await mkdir(join(dir, 'folder'))
  expect(
    mistakesOf({
      HORCRUX_ADMIN_PASSWORD_FILE: join(dir, 'folder'),
      HORCRUX_JWT_SECRET_FILE: join(dir, 'none'),
      HORCRUX_PORT: '0',
      HORCRUX_LEASE_SECONDS: '0',
      MONGODB_URL: 'mongo.example:27017',
    }),
  ).toEqual([
    `HORCRUX_PORT: must be a whole number from 1 to 65535, not '0'`,
    `HORCRUX_ADMIN_PASSWORD_FILE: '${join(dir, 'folder')}' is a folder`,
    `HORCRUX_JWT_SECRET_FILE: '${join(dir, 'none')}' does not exist`,
    `HORCRUX_LEASE_SECONDS: must be a whole number from 1 to 600, not '0'`,
    expect.stringMatching(/^MONGODB_URL: /),
  ])
})

test.each([
  'mongodb://127.0.0.1:27017/horcrux',
  'mongodb://user:p%40ss@a.example:27017,b.example/horcrux?replicaSet=rs0',
  'mongodb+srv://user:secret@cluster.example/?retryWrites=true',
  'mongodb://[::1]:27017/x',
])('%s is an address of a store', (url) => expect(mistakesOf({ MONGODB_URL: url })).toEqual([]))

test.each([
  'http://a.example',
  'mongodb://?',
  'mongodb:///x',
  'mongodb://user:se/cret@a.example/x',
  'mongodb://u:p@@a/x',
])('%s is none, and is not repeated, for there may be a password in it', (url) =>
  expect(mistakesOf({ MONGODB_URL: url })).toEqual([expect.not.stringContaining(url)]),
)

test('TLS files are looked into, and at whether they belong together', async () => {
  const one = await selfSigned({ names: ['a'], addresses: [] }, 1)
  const other = await selfSigned({ names: ['b'], addresses: [] }, 1)
  const file = async (name: string, text: string) => {
    await writeFile(join(dir, name), text)
    return join(dir, name)
  }
  const cert = await file('cert.pem', one.cert)
  const key = await file('key.pem', one.key)
  const text = await file('text', 'nonsense')
  const files = (HORCRUX_TLS_CERT: string, HORCRUX_TLS_KEY: string) =>
    mistakesOf({ HORCRUX_TLS: 'files', HORCRUX_TLS_CERT, HORCRUX_TLS_KEY })
  expect(files(cert, key)).toEqual([])
  expect(files(text, text)).toEqual([
    expect.stringContaining('no certificate in PEM'),
    expect.stringContaining('no private key'),
  ])
  expect(files(cert, await file('other.pem', other.key))).toEqual([expect.stringContaining('is not the key of')])
})

const horcrux = async (words: string[], env: Record<string, string> = {}) => {
  const { promise, resolve: done } = Promise.withResolvers<{ code: unknown; stderr: string }>()
  const settings = { cwd: dir, env: { PATH: process.env['PATH'], HORCRUX_DATA: join(dir, 'data'), ...env } }
  execFile(process.execPath, [resolve('bin/horcrux.ts'), ...words], settings, (error, _, stderr) =>
    done({ code: error?.code ?? 0, stderr }),
  )
  return promise
}

test('a .env that cannot be read ends every command with 78 and its name', async () => {
  await mkdir(join(dir, '.env'))
  try {
    const { code, stderr } = await horcrux(['doctor'])
    expect({ code, stderr }).toEqual({ code: 78, stderr: expect.stringContaining(`.env: '${join(dir, '.env')}'`) })
    expect(stderr).not.toMatch(/^ +at /m)
  } finally {
    await rm(join(dir, '.env'), { recursive: true })
  }
})

test('a password that no user could have ends the first start before anything is made', async () => {
  const { code, stderr } = await horcrux(['start'], { HORCRUX_ADMIN_PASSWORD: 'short' })
  expect({ code, stderr }).toEqual({ code: 78, stderr: expect.stringContaining('HORCRUX_ADMIN_PASSWORD: must have') })
  await expect(rm(join(dir, 'data'))).rejects.toThrow('ENOENT')
  // It loads every service, for the first time on a new machine.
})
