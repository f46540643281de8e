import { createHash } from 'node:crypto'
import { readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pack } from 'tar-stream'
import { localHost } from '#shared/nodes/host/local/local.ts'

const MiB = 2 ** 20
const host = localHost()
const qemuImg = (...words: string[]) => host.runChecked('qemu-img', words)

type Entry = { name: string; type?: 'file' | 'symlink' | 'link'; linkname?: string; data?: Buffer | string }

/** A tar archive with these entries, also with names and kinds that no tool would write. */
export async function tarOf(entries: Entry[]): Promise<Buffer> {
  const archive = pack()
  for (const { name, type = 'file', linkname, data = '' } of entries)
    archive.entry({ name, type, ...(linkname !== undefined && { linkname }) }, type === 'file' ? data : '')
  archive.finalize()
  const chunks: Buffer[] = []
  for await (const chunk of archive) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

export const ovf = (...disks: string[]) =>
  `<?xml version="1.0"?><Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"><References>${disks
    .map((name, index) => `<File ovf:id="f${index}" ovf:href="${name}"/>`)
    .join('')}</References><DiskSection>${disks
    .map((_, index) => `<Disk ovf:diskId="d${index}" ovf:fileRef="f${index}"/>`)
    .join('')}</DiskSection></Envelope>`

export const manifestOf = (files: Record<string, Buffer | string>) =>
  Object.entries(files)
    .map(([name, data]) => `SHA256(${name})= ${createHash('sha256').update(data).digest('hex')}\n`)
    .join('')

export type Hostile = { name: string; file: Buffer; reason: RegExp; format?: string }

/** Files that try to bring the content of `secret` into a volume, to fill a disk, or to pass for a whole image. */
export async function hostileImages(folder: string, secret: string): Promise<Hostile[]> {
  const at = (name: string) => join(folder, name)
  const made = async (name: string, ...words: string[]) => {
    await qemuImg('create', '-q', ...words, at(name), '8M')
    return readFile(at(name))
  }
  const based = await made('based.qcow2', '-f', 'qcow2', '-u', '-b', secret, '-F', 'raw')
  const json = JSON.stringify({ driver: 'raw', file: { driver: 'file', filename: secret } })
  const ofJson = await made('json.qcow2', '-f', 'qcow2', '-u', '-b', `json:${json}`, '-F', 'raw')
  const aside = await made('aside.qcow2', '-f', 'qcow2', '-o', `data_file=${at('data')},data_file_raw=on`)
  await rm(at('data'))
  const flat = await made('flat.vmdk', '-f', 'vmdk', '-o', 'subformat=monolithicFlat')
  const descriptor = `# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 16384 FLAT "${secret}" 0\n`
  const sparse = await made('sparse.vmdk', '-f', 'vmdk')
  // A header without a capacity has QEMU open the files of the descriptor.
  const noCapacity = Buffer.from(sparse)
  noCapacity.writeBigUInt64LE(0n, 12)
  noCapacity.write(descriptor.padEnd(1024, '\0'), 512)
  await qemuImg('create', '-q', '-f', 'qcow2', at('huge.qcow2'), '60T')
  await writeFile(at('disk.raw'), Buffer.alloc(4 * MiB, 'x'))
  await qemuImg('convert', '-f', 'raw', '-O', 'vdi', at('disk.raw'), at('cut.vdi'))
  await truncate(at('cut.vdi'), 2 * MiB)
  await writeFile(at('zeros'), Buffer.alloc(64 * MiB))
  const bomb = (await host.runChecked('gzip', ['-9', '-c', at('zeros')])).bytes
  const disk = await readFile(at('sparse.vmdk'))
  const plain = { name: 'web.ovf', data: ovf('web.vmdk') }
  const archive = (...entries: Entry[]) => tarOf(entries)
  return [
    { name: 'qcow2 with a backing file', file: based, reason: /backing file/ },
    { name: 'qcow2 with a json: backing file', file: ofJson, reason: /backing file/ },
    { name: 'qcow2 with a data file', file: aside, reason: /another file/ },
    { name: 'raw that begins with a header of qcow2', file: based, reason: /qcow2 by its bytes/, format: 'raw' },
    { name: 'vmdk of type monolithicFlat', file: flat, reason: /vmdk descriptor/ },
    { name: 'vmdk whose descriptor names a file', file: Buffer.from(descriptor), reason: /vmdk descriptor/ },
    { name: 'vmdk without a capacity', file: noCapacity, reason: /no disk of its own/ },
    { name: 'disk of 60 TiB in 1.2 MB', file: await readFile(at('huge.qcow2')), reason: /the largest is/ },
    { name: 'VDI that is cut off', file: await readFile(at('cut.vdi')), reason: /cut off/ },
    { name: 'gzip bomb', file: padded(bomb), reason: /gzip/ },
    {
      name: 'OVA with ../',
      file: await archive(plain, { name: '../../web.vmdk', data: disk }),
      reason: /with a path/,
    },
    {
      name: 'OVA with an absolute path',
      file: await archive({ name: '/web.ovf', data: plain.data }),
      reason: /with a path/,
    },
    {
      name: 'OVA with a link',
      file: await archive(plain, { name: 'web.vmdk', type: 'symlink', linkname: secret }),
      reason: /symlink/,
    },
    {
      name: 'OVA with two descriptors',
      file: await archive(plain, { name: 'b.ovf', data: plain.data }, { name: 'web.vmdk', data: disk }),
      reason: /two descriptors/,
    },
    {
      name: 'OVA whose disk is elsewhere',
      file: await archive({ name: 'web.ovf', data: ovf(secret) }, { name: 'web.vmdk', data: disk }),
      reason: /lacks its disk/,
    },
    {
      name: 'OVA whose disk has a parent',
      file: await archive(plain, { name: 'web.vmdk', data: based }),
      reason: /backing file/,
    },
    {
      name: 'OVA with a wrong digest',
      file: await archive(
        plain,
        { name: 'web.mf', data: manifestOf({ 'web.vmdk': 'other' }) },
        { name: 'web.vmdk', data: disk },
      ),
      reason: /damaged/,
    },
  ]
}

/** Files have whole sectors here, as one may have by chance. */
const padded = (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 511)])
