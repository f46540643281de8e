import { assert, asyncProperty, array, constantFrom, nat, record, uint8Array } from 'fast-check'
import { expect, test } from 'vitest'
import { demultiplex, type Output } from '#shared/nodes/docker/demultiplex.ts'

function frameOf(type: number, payload: Uint8Array): Buffer {
  const header = Buffer.from([type, 0, 0, 0, 0, 0, 0, 0])
  header.writeUInt32BE(payload.length, 4)
  return Buffer.concat([header, payload])
}

/** The bytes in pieces of these sizes, again and again. */
async function* cut(bytes: Buffer, sizes: number[]) {
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length]! + 1
    yield bytes.subarray(at, at + size)
    at += size
  }
}

async function collected(source: AsyncIterable<Output[]>): Promise<Record<1 | 2, Buffer>> {
  const parts: Record<1 | 2, Buffer[]> = { 1: [], 2: [] }
  for await (const batch of source) for (const { stream, bytes } of batch) parts[stream].push(bytes)
  return { 1: Buffer.concat(parts[1]), 2: Buffer.concat(parts[2]) }
}

test('all bytes of a multiplexed stream arrive in order, however it is cut', async () => {
  const frames = array(record({ type: constantFrom(0, 1, 2, 3), payload: uint8Array({ maxLength: 50 }) }))
  await assert(
    asyncProperty(frames, array(nat(20), { minLength: 1 }), async (all, sizes) => {
      const got = await collected(
        demultiplex(cut(Buffer.concat(all.map((one) => frameOf(one.type, one.payload))), sizes)),
      )
      const of = (isOf: (type: number) => boolean) =>
        Buffer.concat(all.filter(({ type }) => isOf(type)).map(({ payload }) => payload))
      expect(got[1].equals(of((type) => type < 2))).toBe(true)
      expect(got[2].equals(of((type) => type >= 2))).toBe(true)
    }),
  )
})

test('twenty thousand frames of one byte in few chunks, and one frame of 40 MiB, pass', async () => {
  const small = Buffer.concat(Array.from({ length: 20_000 }, () => frameOf(1, Buffer.from('\n'))))
  expect((await collected(demultiplex(cut(small, [65_535]))))[1]).toHaveLength(20_000)
  const large = frameOf(2, Buffer.alloc(40 * 2 ** 20, 7))
  expect((await collected(demultiplex(cut(large, [65_535]))))[2]).toHaveLength(40 * 2 ** 20)
})
