import { expect, test } from 'vitest'
import type { Output } from '../../../services/container/drivers/process.ts'
import { bufferOutput } from '../../../services/container/streams/output-buffer.ts'
import { merged } from '../../../services/container/drivers/merged.ts'

const piece = (text: string, stream: 1 | 2 = 1): Output => ({ stream, bytes: Buffer.from(text) })
const text = (pieces: Output[]) => pieces.map(({ stream, bytes }) => `${stream}${bytes.toString()}`)

test('output is taken in order, neighbours of one stream together, and its end is known once all is taken', async () => {
  async function* source() {
    yield piece('a')
    yield piece('b')
    yield piece('x', 2)
    yield piece('c')
  }
  const buffer = bufferOutput(source(), 1000)
  const taken: Output[] = []
  while (!buffer.isOver()) taken.push(...(await buffer.take(1000)))
  expect(taken.map(({ bytes }) => bytes.toString()).join('')).toBe('abxc')
  expect(text(taken).some((each) => each === '2x')).toBe(true)
})

test('its source waits when too much is not taken', async () => {
  let made = 0
  async function* source() {
    for (; made < 100; made++) yield piece('0123456789')
  }
  const buffer = bufferOutput(source(), 35)
  await new Promise((resolve) => setImmediate(resolve))
  expect(made).toBeLessThan(6)
  let length = 0
  while (!buffer.isOver()) for (const { bytes } of await buffer.take(1000)) length += bytes.length
  expect(length).toBe(1000)
})

test('nothing comes while there is nothing, and a source that breaks off is over', async () => {
  const { promise, reject } = Promise.withResolvers<never>()
  async function* source() {
    yield piece('a')
    yield await promise
  }
  const buffer = bufferOutput(source(), 10)
  expect(text(await buffer.take(1000))).toEqual(['1a'])
  expect(await buffer.take(1)).toEqual([])
  expect(buffer.isOver()).toBe(false)
  reject(new Error('gone'))
  expect(await buffer.take(1000)).toEqual([])
  expect(buffer.isOver()).toBe(true)
})

test('several streams are merged as they come, and one that ends does not end the others', async () => {
  async function* few() {
    yield piece('e', 2)
  }
  async function* many() {
    for (const each of ['1', '2', '3']) yield piece(each)
  }
  const found: Output[] = []
  for await (const each of merged([many(), few()])) found.push(each)
  expect(text(found).toSorted()).toEqual(['11', '12', '13', '2e'])
})
