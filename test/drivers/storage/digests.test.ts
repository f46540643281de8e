import { createHash, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { sshHost } from '#shared/nodes/host/ssh/ssh.ts'
import { withImage } from '../../../services/storage/backups/nbd/open-image.ts'
import { sshTarget, type LabHost } from '../../lab/hosts/hosts.ts'
import { labHosts } from '../../lab/hosts/lab.ts'

const [lab] = labHosts as [LabHost]
const MiB = 2 ** 20

test('a node hashes the chunks of an image itself, the last one as long as the disk goes, while others write', async () => {
  const host = sshHost(sshTarget(lab))
  const dir = (await host.runChecked('mktemp', ['-d'])).stdout.trim()
  const path = `${dir}/disk.qcow2`
  const size = 38 * MiB
  const { signal } = new AbortController()
  const original = { source: { type: 'file' as const, path }, format: 'qcow2' }
  const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
  try {
    await host.runChecked('qemu-img', ['create', '-q', '-f', 'qcow2', path, `${size + MiB}`])
    await withImage(host, original, { isWritten: true, signal, digestedBytes: size }, async (image, digests) => {
      const [first, last] = [randomBytes(4 * MiB), randomBytes(2 * MiB)]
      await image.write(4 * MiB, first)
      await image.write(36 * MiB, last)
      // Behind the end of the disk, where storage has rounded up.
      await image.write(size, randomBytes(MiB))
      const ids = digests!.of([0, 1, 2, 3, 4, 5, 9])
      expect(await Promise.all(ids.values())).toEqual([null, sha256(first), null, null, null, null, sha256(last)])
      const next = randomBytes(4 * MiB)
      await image.write(0, next)
      expect(await digests!.of([0]).get(0)).toBe(sha256(next))
      await expect(digests!.of([40]).get(40)).rejects.toThrow(/cannot be read/)
    })
  } finally {
    await host.runChecked('rm', ['-rf', '--', dir])
    await host.close()
  }
})
