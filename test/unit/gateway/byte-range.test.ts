import { expect, test } from 'vitest'
import { rangeIn } from '../../../services/gateway/streams/byte-range.ts'

const file = { size: 1000, tag: '"a"' }
const of = (header?: string, ifRange?: string) => rangeIn(header, ifRange, file)

test('a range names its first and last byte, an open one goes to the end, a suffix counts from there', () => {
  expect(of('bytes=0-99')).toEqual({ first: 0, last: 99 })
  expect(of('bytes=999-')).toEqual({ first: 999, last: 999 })
  expect(of('bytes=900-5000')).toEqual({ first: 900, last: 999 })
  expect(of('bytes=-1')).toEqual({ first: 999, last: 999 })
  expect(of('bytes=-5000')).toEqual({ first: 0, last: 999 })
})

test('a range behind the end cannot be satisfied', () => {
  expect(of('bytes=1000-')).toBe('unsatisfiable')
  expect(of('bytes=1000-2000')).toBe('unsatisfiable')
  expect(of('bytes=-0')).toBe('unsatisfiable')
  expect(rangeIn('bytes=-1', undefined, { size: 0, tag: '"a"' })).toBe('unsatisfiable')
})

test('a header that is not understood, of several ranges or of another content is answered with the whole', () => {
  for (const header of [undefined, '', 'bytes=', 'bytes=-', 'bytes=9-1', 'bytes=0-1,5-6', 'lines=0-1', 'bytes=x-1'])
    expect(of(header), header).toBeNull()
  expect(of('bytes=0-1', '"b"')).toBeNull()
  // A weak tag and a date say too little about the bytes.
  expect(of('bytes=0-1', 'W/"a"')).toBeNull()
  expect(of('bytes=0-1', 'Mon, 30 Nov 2026 09:00:00 GMT')).toBeNull()
  expect(of('bytes=0-1', '"a"')).toEqual({ first: 0, last: 1 })
})
