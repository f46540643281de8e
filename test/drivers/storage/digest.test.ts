import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Host } from '#shared/nodes/host/host.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { digestOf } from '../../../services/storage/images/digest.ts'

const machine = localHost()
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'horcrux-digest-'))
})
afterAll(async () => {
  await rm(folder, { recursive: true })
  await machine.close()
})

/** A node that lacks openssl, as small ones do. */
const without: Host = { ...machine, which: async (name) => (name === 'openssl' ? null : machine.which(name)) }

test.each([
  { host: machine, how: 'with openssl' },
  { host: without, how: 'without openssl' },
])('the digest of a file is the same $how, whatever its name', async ({ host }) => {
  for (const name of ['plain', 'a\nline\\', '-r'])
    for (const content of ['', 'x'.repeat(3_000_001)]) {
      const file = join(folder, name)
      await writeFile(file, content)
      const wanted = createHash('sha256').update(content).digest('hex')
      expect(await digestOf(host, file, AbortSignal.timeout(60_000))).toBe(wanted)
    }
})
