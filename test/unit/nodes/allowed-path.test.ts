import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { allowedPath } from '#shared/nodes/host/allowed-path.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'

const host = localHost()
let dir: string
let folders: { allowed_paths: string[]; state_dir: string }
const look = (path: string) => allowedPath(host, join(dir, path), folders, 'iso')

beforeAll(async () => {
  dir = await realpath(await mkdtemp(join(tmpdir(), 'horcrux-paths-')))
  for (const folder of ['data/secrets', 'data/seeds', 'data/isos', 'data/secretsauce', 'free', 'elsewhere'])
    await mkdir(join(dir, folder), { recursive: true })
  await writeFile(join(dir, 'data/secrets/secrets.json'), '{}')
  await symlink(join(dir, 'data/secrets/secrets.json'), join(dir, 'free/innocent.iso'))
  await symlink(join(dir, 'data'), join(dir, 'free/data'))
  await symlink(join(dir, 'elsewhere'), join(dir, 'free/out'))
  await writeFile(join(dir, 'free/file'), '')
  await symlink('round', join(dir, 'free/round'))
  // As by default: the folder that Horcrux keeps everything in is allowed as a whole.
  folders = { allowed_paths: [join(dir, 'data'), join(dir, 'free')], state_dir: join(dir, 'data') }
})
afterAll(() => rm(dir, { recursive: true, force: true }))

test('a path in the allowed folders is accepted, also of a file that does not exist yet', async () => {
  expect(await look('data/isos/new.iso')).toBe(join(dir, 'data/isos/new.iso'))
  expect(await look('free/data/isos')).toBe(join(dir, 'data/isos'))
  expect(await look('data/secretsauce/a.iso')).toBe(join(dir, 'data/secretsauce/a.iso'))
})

test.each([
  'data/secrets/secrets.json',
  'data/secrets',
  'data/seeds/other.iso',
  'data/shelved/template.xml',
  'data/snapshots/kept/memory',
  'data/nvram/guest.fd',
  'free/innocent.iso',
  'free/data/seeds/x',
])('what is Horcrux’s own is not given to anybody: %s', async (path) => {
  await expect(look(path)).rejects.toMatchObject({ violations: [{ field: 'iso', code: 'forbidden_path' }] })
})

test('links and dots lead nowhere else', async () => {
  await expect(look('free/out/x.iso')).rejects.toThrow(/allowed folders/)
  const kernel = allowedPath(host, join(dir, 'elsewhere/vmlinuz'), folders, 'boot.kernel')
  await expect(kernel).rejects.toThrow(/allowed folders.*tiny-guest.*HORCRUX_DATA.*HORCRUX_ALLOWED_PATHS/)
  const dots = `${join(dir, 'free')}/../elsewhere/x.iso`
  await expect(allowedPath(host, dots, folders, 'iso')).rejects.toThrow(/must not contain/)
})

test.each([
  ['a name of 300 letters', `free/${'a'.repeat(300)}`],
  ['a name of 300 bytes', `free/${'ä'.repeat(150)}`],
  ['a path of 4,200 letters', `free/${'a/'.repeat(2100)}`],
  ['links in a circle', 'free/round/x.iso'],
  ['a file for a folder', 'free/file/x.iso'],
])('%s is a mistake of the field, and no outage', async (_, path) => {
  await expect(look(path)).rejects.toMatchObject({ violations: [{ field: 'iso', code: 'path' }] })
})

test('an allowed folder that cannot be reached holds nothing, and hinders no other', async () => {
  const allowed_paths = [
    join(dir, 'a'.repeat(300)),
    join(dir, 'free/round'),
    join(dir, 'free/file/x'),
    ...folders.allowed_paths,
  ]
  const path = join(dir, 'free/x.iso')
  expect(await allowedPath(host, path, { ...folders, allowed_paths }, 'iso')).toBe(path)
})
