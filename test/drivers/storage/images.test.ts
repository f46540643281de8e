import { createHash, randomBytes } from 'node:crypto'
import { copyFile, mkdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { inspectImage } from '../../../services/storage/images/images.ts'
import { available } from '../../lab/requirements.ts'

const MiB = 2 ** 20
const host = localHost()
const missing = (await host.which('qemu-img')) ? [] : ['there is no qemu-img']
const folder = join(inject('run').dir, 'image-files')
const at = (name: string) => join(folder, name)
const qemuImg = (...words: string[]) => host.runChecked('qemu-img', words)
const inspected = (name: string) => inspectImage(host, at(name))
const reason = (name: string) =>
  inspected(name).then(
    () => null,
    (error: Error) => error.message,
  )

/** Digest of the disk in an image; null if it cannot be read. */
async function contentOf(name: string, format: string): Promise<string | null> {
  const { code } = await host.run('qemu-img', ['convert', '-f', format, '-O', 'raw', at(name), at('content')])
  return code === 0
    ? createHash('sha256')
        .update(await readFile(at('content')))
        .digest('hex')
    : null
}

describe.skipIf(!available('qemu', missing))('an image that is to be copied', () => {
  beforeAll(async () => {
    await mkdir(folder, { recursive: true })
    // Text compresses, random bytes do not; the zeros between are not stored.
    const text = Buffer.from('all work and no play makes a disk image dull; '.repeat(60_000)).subarray(0, 2 * MiB)
    const compressible = Buffer.from(randomBytes(2 * MiB).map((byte) => 97 + (byte & 3)))
    await writeFile(at('disk.raw'), Buffer.concat([text, randomBytes(MiB), Buffer.alloc(3 * MiB), compressible]))
    await writeFile(at('small.raw'), text.subarray(0, 65_536))
  })
  afterAll(async () => {
    await host.close()
    await rm(folder, { recursive: true, force: true })
  })

  test.each([
    ['qcow2', []],
    ['qcow2', ['-c']],
    ['qcow2', ['-c', '-o', 'compression_type=zstd']],
    ['qcow2', ['-o', 'extended_l2=on,cluster_size=16384']],
    ['qcow2', ['-o', 'compat=0.10,cluster_size=512']],
    ['qcow2', ['-o', 'preallocation=metadata']],
    ['vdi', []],
    ['vhdx', []],
    ['vmdk', []],
    ['vmdk', ['-o', 'subformat=streamOptimized']],
  ] as const)('in the format %s %j is refused when it was cut anywhere', async (format, options) => {
    const name = `whole.${format}`
    await qemuImg('convert', '-f', 'raw', '-O', format, ...options, at('disk.raw'), at(name))
    expect(await inspected(name)).toMatchObject({ format, size_bytes: 8 * MiB })
    const content = await contentOf(name, format)
    const size = (await host.stat(at(name)))!.sizeBytes
    const random = Array.from({ length: 12 }, () => Math.floor(Math.random() * size))
    const cuts = [0.25, 0.5, 0.75].map((part) => Math.floor(size * part))
    const ends = [1, 512, 4096, 30_208, 54_784, 65_536, 65_537, 100_000].map((less) => size - less)
    let refused = 0
    for (const length of [...cuts, ...ends, ...random].filter((wanted) => wanted > 100)) {
      await copyFile(at(name), at(`cut.${format}`))
      await truncate(at(`cut.${format}`), length)
      const why = await reason(`cut.${format}`)
      // What was cut off may be padding that belongs to no part of the disk.
      if (why === null) expect(await contentOf(`cut.${format}`, format), `cut at ${length} of ${size}`).toBe(content)
      else {
        expect(why).toContain(`cut.${format}`)
        refused++
      }
    }
    expect(refused).toBeGreaterThanOrEqual(15)
    await copyFile(at(name), at(`cut.${format}`))
    await truncate(at(`cut.${format}`), Math.floor(size / 2))
    expect(await reason(`cut.${format}`)).toMatch(/cut off|no valid qcow2 header/)
  })

  test('is refused when its length is no multiple of a sector', async () => {
    await writeFile(at('odd.raw'), randomBytes(MiB + 100))
    expect(await reason('odd.raw')).toMatch(/odd.raw has 1048676 bytes, which is no multiple of 512/)
  })

  test('is accepted as raw, also with the label of an ISO, and when only clusters have leaked', async () => {
    const iso = Buffer.alloc(MiB)
    iso.write('\x01CD001', 32_768, 'latin1')
    await writeFile(at('seed.iso'), iso)
    expect(await inspected('seed.iso')).toMatchObject({ format: 'raw', size_bytes: MiB })
    await qemuImg('create', '-q', '-f', 'qcow2', at('leaked.qcow2'), '8M')
    await truncate(at('leaked.qcow2'), 2 * MiB)
    const table = Buffer.from(await readFile(at('leaked.qcow2')))
    const refcounts = Number(table.readBigUInt64BE(Number(table.readBigUInt64BE(48))))
    table.writeUInt16BE(1, refcounts + 2 * 20)
    await writeFile(at('leaked.qcow2'), table)
    expect(await inspected('leaked.qcow2')).toMatchObject({ format: 'qcow2' })
  })

  test('is accepted when a guest left its reference counts behind, and refused when they are wrong otherwise', async () => {
    await qemuImg('convert', '-f', 'raw', '-O', 'qcow2', '-o', 'lazy_refcounts=on', at('disk.raw'), at('dirty.qcow2'))
    const image = Buffer.from(await readFile(at('dirty.qcow2')))
    const refcounts = Number(image.readBigUInt64BE(Number(image.readBigUInt64BE(48))))
    image.writeUInt16BE(0, refcounts + 2 * 8)
    await writeFile(at('wrong.qcow2'), image)
    expect(await reason('wrong.qcow2')).toMatch(/is damaged: .*refcount=0 reference=1/)
    image.writeBigUInt64BE(1n, 72)
    await writeFile(at('dirty.qcow2'), image)
    expect(await reason('dirty.qcow2')).toBeNull()
  })

  test.each([
    ['gzip', 'gzip file', 'gunzip'],
    ['bzip2', 'bzip2 file', 'bunzip2'],
    ['xz', 'xz file', 'unxz'],
    ['zstd', 'zstd file', 'unzstd'],
    ['tar', 'tar archive', 'OVA'],
    ['python3 -m zipfile', 'zip archive', 'unzip'],
  ])('packed by %s is not taken for raw', async (program, kind, help) => {
    const [tool, ...words] = program.split(' ')
    if (!(await host.which(tool!))) return
    const pack = {
      tar: `tar -C "$1" -cf "$2" small.raw`,
      python3: `cd "$1" && python3 ${words.join(' ')} -c "$2" small.raw`,
    }[tool!]
    await host.runChecked('bash', ['-c', pack ?? `${tool} -c "$1"/small.raw >"$2"`, 'bash', folder, at('packed.raw')])
    // A multiple of a sector, as such a file may be by chance.
    const { sizeBytes } = (await host.stat(at('packed.raw')))!
    await truncate(at('packed.raw'), Math.ceil(sizeBytes / 512) * 512)
    expect(await reason('packed.raw')).toMatch(new RegExp(`packed.raw is an? ${kind}.*${help}`))
  })

  test('reads no other file for an image that names one', async () => {
    await host.runChecked('mkfifo', [at('bait')])
    // Whoever opens the pipe for reading waits for ever.
    const images = [
      ['based.qcow2', 'qcow2', ['-u', '-b', at('bait'), '-F', 'raw'], /backing file/],
      ['aside.qcow2', 'qcow2', ['-o', `data_file=${at('data')}`], /another file/],
      ['flat.vmdk', 'vmdk', ['-o', 'subformat=monolithicFlat'], /vmdk/],
    ] as const
    for (const [name, format, options, refused] of images) {
      await qemuImg('create', '-q', '-f', format, ...options, at(name), '8M')
      for (const data of ['data', 'flat-flat.vmdk'])
        await host.run('bash', ['-c', '[ ! -f "$0" ] || { rm "$0" && ln -s bait "$0"; }', at(data)])
      expect(await reason(name)).toMatch(refused)
    }
  })
})
