import { randomBytes } from 'node:crypto'
import { link, mkdir, open, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { localHost } from '#shared/nodes/host/local/local.ts'

const MiB = 2 ** 20
const local = localHost()

/** Bytes of `rand` of {@link makeTree}, by which it is found in a pack. */
export const randomFile: Buffer = randomBytes(12 * MiB)

/** Files that are hard for a reader: odd names, links that lead out, holes, several names of one file. */
export async function makeTree(folder: string): Promise<void> {
  await mkdir(join(folder, 'etc'), { recursive: true })
  await mkdir(join(folder, 'home/empty'), { recursive: true })
  await writeFile(join(folder, 'etc/passwd'), 'root:x:0:0\n')
  await link(join(folder, 'etc/passwd'), join(folder, 'etc/passwd-'))
  await symlink('/etc/shadow', join(folder, 'home/shadow'))
  await symlink('../../..', join(folder, 'home/up'))
  await symlink('/', join(folder, 'home/root'))
  await writeFile(join(folder, 'home/two\nlines'), 'newline')
  await writeFile(join(folder, 'home/100%'), 'percent')
  await writeFile(join(folder, 'home/-rf'), 'an option')
  // "café" in Latin-1, which is no UTF-8.
  await writeFile(Buffer.concat([Buffer.from(join(folder, 'home/caf')), Buffer.from([0xe9])]), 'Latin-1')
  await writeFile(join(folder, 'home/rand'), randomFile)
  const holes = await open(join(folder, 'home/holes'), 'w')
  await holes.write('in the middle', 100 * MiB)
  await holes.truncate(200 * MiB)
  await holes.close()
}

/** Makes an ext4 file system of a folder's content in an image file. */
export async function makeExt4(image: string, sizeMiB: number, folder: string): Promise<void> {
  await writeFile(image, '')
  await truncate(image, sizeMiB * MiB)
  await local.runChecked('mkfs.ext4', ['-q', '-d', folder, image])
}

/** Puts file systems into partitions of a disk: one table of MBR, each from a whole MiB on. */
export async function makeDisk(disk: string, sizeMiB: number, parts: { image: string; type: number }[]): Promise<void> {
  const table = Buffer.alloc(512)
  table.writeUInt16LE(0xaa55, 510)
  const handle = await open(disk, 'w')
  await handle.truncate(sizeMiB * MiB)
  let atMiB = 1
  for (const [index, { image, type }] of parts.entries()) {
    const file = await open(image)
    const { size } = await file.stat()
    const row = 446 + 16 * index
    table[row + 4] = type
    table.writeUInt32LE(atMiB * 2048, row + 8)
    table.writeUInt32LE(size / 512, row + 12)
    for (let at = 0; at < size; at += MiB) {
      const piece = Buffer.alloc(MiB)
      await file.read(piece, 0, MiB, at)
      if (piece.some((byte) => byte !== 0)) await handle.write(piece, 0, MiB, atMiB * MiB + at)
    }
    await file.close()
    atMiB += Math.ceil(size / MiB)
  }
  await handle.write(table, 0, 512, 0)
  await handle.close()
}
