import { expect, test } from 'vitest'
import { partBytes } from '#shared/contracts/storage/uploads.ts'
import { partsOf } from '../../../services/gateway/rest/uploads.ts'

async function sizes(...chunks: number[]): Promise<number[]> {
  async function* body() {
    for (const size of chunks) yield Buffer.alloc(size)
  }
  const found: number[] = []
  for await (const part of partsOf(body())) found.push(part.length)
  return found
}

test('a body is divided into full parts and a rest, however its chunks come', async () => {
  expect(await sizes()).toEqual([])
  expect(await sizes(1)).toEqual([1])
  expect(await sizes(partBytes)).toEqual([partBytes])
  expect(await sizes(partBytes - 1, 2)).toEqual([partBytes, 1])
  expect(await sizes(3 * partBytes + 5)).toEqual([partBytes, partBytes, partBytes, 5])
  expect(await sizes(...Array.from({ length: 100 }, () => 65_536))).toEqual([...Array(12).fill(partBytes), 262_144])
})

test('a part in Base64 fits into a message of the bus', () => {
  expect(Math.ceil(partBytes / 3) * 4).toBeLessThan(2 ** 20 - 64 * 1024)
})
