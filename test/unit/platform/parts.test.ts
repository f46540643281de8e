import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { endpointsFile, readConfig, secretsFile } from '#shared/config/config.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { judge } from '#shared/nodes/accelerator.ts'
import { packagesOf } from '#shared/platform/apt.ts'
import { keepSecrets, makeDataFolder, rememberPort, writeEndpoints } from '#shared/platform/data-folder.ts'
import { apiUrl } from '#shared/platform/start-infrastructure.ts'
import { lockDataFolder } from '#shared/platform/lock.ts'
import { requirements } from '#shared/platform/requirements.ts'
import { table } from '../../../bin/table.ts'
import { nearestWord } from '../../../bin/nearest-word.ts'

const host = localHost()
let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'horcrux-unit-'))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

test('a virtualization flag is a whole word among the flags', () => {
  expect(judge('processor\t: 0\nflags\t\t: fpu vmx sse\n', true).because).toContain('the processor has vmx')
  expect(judge('flags\t\t: fpu sse svm\n', true).because).toContain('the processor has svm')
  expect(judge('flags\t\t: fpu svm_lock vmxnet\nbugs\t: vmx\n', true)).toEqual({
    accelerator: 'tcg',
    because: 'the processor has no vmx or svm flag',
  })
})

test('guests run with KVM only where there are both a virtualization flag and a device', () => {
  expect(judge('flags\t\t: vmx\n', true).accelerator).toBe('kvm')
  expect(judge('flags\t\t: vmx\n', false)).toEqual({ accelerator: 'tcg', because: 'there is no device /dev/kvm' })
  expect(judge('', false).because).toBe('the processor has no vmx or svm flag, and there is no device /dev/kvm')
})

test('the word that was meant is found by two letters or by its beginning', () => {
  const words = ['start', 'doctor', 'demo']
  expect(nearestWord('strat', words)).toBe('start')
  expect(nearestWord('doc', words)).toBe('doctor')
  expect(nearestWord('restart', words)).toBe('start')
  expect(nearestWord('migrate', words)).toBeUndefined()
})

test('a table keeps its columns even and ends no line with spaces', () => {
  expect(
    table([
      ['a', 'bb', ''],
      ['ccc', '', 'd'],
      ['e', 'f', ''],
    ]),
  ).toBe('a    bb\nccc      d\ne    f')
})

test('each requirement says which packages bring it, and each package is named once', () => {
  expect(requirements.filter(({ debian }) => debian.length === 0)).toEqual([])
  const packages = packagesOf(requirements)
  expect(packages).toEqual([...new Set(packages)])
})

test('secrets are made once, and only their owner reads them', async () => {
  const data = join(dir, 'secrets-test')
  await makeDataFolder(host, data)
  const made = await keepSecrets(host, data)
  expect(Object.values(made).every((secret) => secret.length >= 32)).toBe(true)
  expect(new Set(Object.values(made)).size).toBe(3)
  expect(await keepSecrets(host, data)).toEqual(made)
  expect((await stat(secretsFile(data))).mode & 0o777).toBe(0o600)
})

test('a damaged file of secrets is an error, not a reason for new ones', async () => {
  const data = join(dir, 'damaged')
  await makeDataFolder(host, data)
  await writeFile(secretsFile(data), '{"jwt_secret": "abc')
  await expect(keepSecrets(host, data)).rejects.toThrow(/is damaged/)
  expect(await readFile(secretsFile(data), 'utf8')).toBe('{"jwt_secret": "abc')
})

test('other processes find secrets and addresses in the data folder, unless the environment gives others', async () => {
  const data = join(dir, 'found')
  await makeDataFolder(host, data)
  const { jwt_secret, secret_key } = await keepSecrets(host, data)
  await writeEndpoints(host, data, { nats_url: 'nats://a', mongodb_url: 'mongodb://b' })
  const found = { natsUrl: 'nats://a', mongodbUrl: 'mongodb://b', jwtSecret: jwt_secret, secretKey: secret_key }
  expect(readConfig({ HORCRUX_DATA: data })).toMatchObject(found)
  expect(readConfig({ HORCRUX_DATA: data, NATS_URL: 'nats://c' })).toMatchObject({ ...found, natsUrl: 'nats://c' })
  await writeEndpoints(host, data, null)
  expect(existsSync(endpointsFile(data))).toBe(false)
  expect(readConfig({ HORCRUX_DATA: data }).natsUrl).toBeUndefined()
})

test('a port is the one of last time while that is free', async () => {
  const data = join(dir, 'ports')
  await makeDataFolder(host, data)
  const nats = await rememberPort(host, data, 'nats')
  const store = await rememberPort(host, data, 'store')
  expect(store).not.toBe(nats)
  expect(await rememberPort(host, data, 'nats')).toBe(nats)
})

test('a data folder is locked until it is let go', async () => {
  const data = join(dir, 'locked')
  await makeDataFolder(host, data)
  const unlock = lockDataFolder(data)
  expect(() => lockDataFolder(data)).toThrow(`already runs on ${data} (process ${process.pid})`)
  unlock()
  lockDataFolder(data)()
})

test("the API's address is one that a client on this machine can use", () => {
  const url = (env: Record<string, string>) => apiUrl(readConfig({ HORCRUX_DATA: dir, ...env }))
  expect(url({})).toBe('http://127.0.0.1:8006')
  expect(url({ HORCRUX_HOST: '0.0.0.0', HORCRUX_PORT: '1' })).toBe('https://127.0.0.1:1')
  expect(url({ HORCRUX_HOST: '::', HORCRUX_TLS: 'off' })).toBe('http://[::1]:8006')
  expect(url({ HORCRUX_HOST: 'fd00::1', HORCRUX_TLS: 'off' })).toBe('http://[fd00::1]:8006')
})
