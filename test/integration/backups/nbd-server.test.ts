import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { backupDisk } from '../../../services/storage/backups/nbd/backup-disk.ts'
import { serveNbd } from '../../../services/storage/backups/nbd/server.ts'
import { chunkBytes } from '../../../services/storage/backups/store/chunks.ts'

const local = localHost()
const size_bytes = 3 * chunkBytes + 1234 * 512
/** The chunk of an id is filled with it. */
const chunkOf = (id: string, length = chunkBytes) => Buffer.alloc(length, id)
const chunks = ['a', 1, 'b', 'c']
const content = Buffer.concat([
  chunkOf('a'),
  Buffer.alloc(chunkBytes),
  chunkOf('b'),
  chunkOf('c', size_bytes - 3 * chunkBytes),
])

let folder: string
let server: Server
let read: string[]
let lost: string | undefined
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'horcrux-nbd-server-'))
  read = []
  lost = undefined
  const reader = {
    read: (id: string) => {
      read.push(id)
      if (id === lost) return Promise.reject(new Error('it is gone'))
      return Promise.resolve(chunkOf(id, id === 'c' ? size_bytes - 3 * chunkBytes : chunkBytes))
    },
  }
  const disk = { size_bytes, chunks } as Parameters<typeof backupDisk>[1]
  const exports = new Map([['disk-0', backupDisk(reader, disk)]])
  server = createServer((socket) => {
    socket.on('error', () => undefined)
    serveNbd(socket, exports).catch(() => undefined)
  })
  await new Promise<void>((resolve) => server.listen(join(folder, 'nbd'), resolve))
})
afterEach(async () => {
  server.close()
  await rm(folder, { recursive: true, force: true })
})

const uri = (name: string) => `nbd+unix:///${name}?socket=${join(folder, 'nbd')}`

test('QEMU reads a disk of chunks, each chunk once, and writes nothing', async () => {
  const copy = join(folder, 'copy')
  await local.runChecked('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', uri('disk-0'), copy])
  const { stdout } = await local.runChecked('sha256sum', [copy])
  expect(stdout.slice(0, 64)).toBe(createHash('sha256').update(content).digest('hex'))
  expect(read.toSorted()).toEqual(['a', 'b', 'c'])
  const { code, stdout: said } = await local.run('qemu-io', ['-f', 'raw', '-c', 'write 0 512', uri('disk-0')])
  expect(`${code} ${said}`).not.toContain('wrote')
})

test('exports are listed, and another name is refused', async () => {
  const { stdout } = await local.runChecked('qemu-nbd', ['--list', `--socket=${join(folder, 'nbd')}`])
  expect(stdout).toMatch(/exports available: 1[\s\S]*disk-0/)
  const { code, stderr } = await local.run('qemu-img', ['info', '-f', 'raw', uri('disk-1')])
  expect(code).not.toBe(0)
  expect(stderr).toContain('disk-1')
})

test('a chunk that is lost is an error of its range alone, and is asked for again', async () => {
  lost = 'b'
  const reads = (at: number) => local.run('qemu-io', ['-f', 'raw', '-r', '-c', `read ${at} 512`, uri('disk-0')])
  expect((await reads(2 * chunkBytes)).stdout).toContain('Input/output error')
  expect((await reads(0)).stdout).toContain('read 512/512 bytes')
  lost = undefined
  expect((await reads(2 * chunkBytes)).stdout).toContain('read 512/512 bytes')
})
