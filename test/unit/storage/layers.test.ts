import { expect, test } from 'vitest'
import { layerIn } from '../../../services/storage/images/layer.ts'

/** The beginning of a qcow2 image of 1 GiB with a backing file. */
function header(backing: string | null, { version = 3, at = 512 } = {}): Buffer {
  const head = Buffer.alloc(4096)
  head.writeUInt32BE(0x514649fb, 0)
  head.writeUInt32BE(version, 4)
  head.writeBigUInt64BE(BigInt(2 ** 30), 24)
  if (backing === null) return head
  head.writeBigUInt64BE(BigInt(at), 8)
  head.writeUInt32BE(Buffer.byteLength(backing), 16)
  head.write(backing, at)
  return head
}
const file = { fileBytes: 197_120, allocatedBytes: 200_704 }

test('a header tells the size and the image below', () => {
  expect(layerIn('qcow2', { ...file, head: header('/pool/ä.qcow2') })).toEqual({
    sizeBytes: 2 ** 30,
    allocatedBytes: 200_704,
    backing: '/pool/ä.qcow2',
  })
  expect(layerIn('qcow2', { ...file, head: header(null) })).toMatchObject({ backing: null })
})

test('a raw image is as large as its file, whatever is in it', () => {
  const read = layerIn('raw', { ...file, head: header('/etc/shadow') })
  expect(read).toEqual({ sizeBytes: 197_120, allocatedBytes: 200_704, backing: null })
})

test.each([
  ['a relative name', header('base.qcow2')],
  ['a name that is a description', header('json:{"driver":"nbd"}')],
  ['a name beyond the part that was read', header('/pool/base.qcow2', { at: 4090 })],
  ['a later version', header(null, { version: 4 })],
  ['another format', Buffer.alloc(4096)],
])('%s is left to QEMU', (_, head) => {
  const read = () => layerIn('qcow2', { ...file, head })
  expect(read()).toBeNull()
})
