import { expect, test } from 'vitest'
import { partBytesOf, partsOf } from '../../../services/storage/drivers/s3/upload.ts'
import { encode, signed } from '../../../services/storage/drivers/s3/signature.ts'

/** The examples of "Signature Calculations for the Authorization Header" in the documentation of Amazon S3. */
const credentials = {
  access_key: 'AKIAIOSFODNN7EXAMPLE',
  secret_key: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  region: 'us-east-1',
}
const at = new Date('2013-05-24T00:00:00Z')
const host = 'examplebucket.s3.amazonaws.com'
const empty = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
const signatureOf = (asked: {
  method: string
  path: string
  query?: Record<string, string>
  headers?: Record<string, string>
  bodySha256?: string
}) =>
  /Signature=(.*)$/.exec(
    signed({ host, query: {}, headers: {}, bodySha256: empty, ...asked }, credentials, at)['authorization']!,
  )?.[1]

test('requests are signed as the documentation of Amazon S3 does', () => {
  expect(signatureOf({ method: 'GET', path: '/test.txt', headers: { Range: 'bytes=0-9' } })).toBe(
    'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
  )
  expect(
    signatureOf({
      method: 'PUT',
      path: `/${encode('test$file.text')}`,
      headers: { Date: 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class': 'REDUCED_REDUNDANCY' },
      bodySha256: '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072',
    }),
  ).toBe('98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd')
  expect(signatureOf({ method: 'GET', path: '/', query: { lifecycle: '' } })).toBe(
    'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
  )
  expect(signatureOf({ method: 'GET', path: '/', query: { 'max-keys': '2', prefix: 'J' } })).toBe(
    '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
  )
})

test('the parts of an upload are so large that 10,000 of them hold the object, and at least 8 MiB', () => {
  const [MiB, TiB] = [2 ** 20, 2 ** 40]
  expect(partBytesOf(1)).toBe(8 * MiB)
  for (const size of [80_000 * MiB, TiB, 5 * TiB]) expect(size / partBytesOf(size)).toBeLessThan(10_000)
  expect(partBytesOf(5 * TiB)).toBeLessThan(5 * 1024 * MiB)
})

test('content is joined to parts of one size, and no content is one empty part', async () => {
  async function* pieces(...sizes: number[]) {
    for (const size of sizes) yield Buffer.alloc(size, size)
  }
  const sizesOf = async (...sizes: number[]) =>
    (await Array.fromAsync(partsOf(pieces(...sizes), 10))).map(({ length }) => length)
  expect(await sizesOf()).toEqual([0])
  expect(await sizesOf(10)).toEqual([10])
  expect(await sizesOf(3, 4, 5, 25)).toEqual([10, 10, 10, 7])
  expect(Buffer.concat(await Array.fromAsync(partsOf(pieces(3, 9, 8), 10)))).toEqual(
    Buffer.concat([Buffer.alloc(3, 3), Buffer.alloc(9, 9), Buffer.alloc(8, 8)]),
  )
})
