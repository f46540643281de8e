import { describe, expect, test } from 'vitest'
import { isValid } from '#shared/contract/validate.ts'
import { images } from '#shared/contracts/container/images.ts'
import { percentOf } from '../../../services/container/drivers/lxd/pull.ts'
import { violationsOfOrigin } from '../../../services/container/images/pull.ts'

const given = { node: 'local', runtime: 'incus' as const, image: 'debian/12' }
const server = 'https://images.example.org'
const fieldsOf = (more: object, from: 'registry' | 'server') =>
  violationsOfOrigin({ ...given, ...more }, from).map(({ field, code }) => `${field} ${code}`)

describe('the origin of an image', () => {
  test('an engine of image servers needs one, and takes no credentials', () => {
    expect(fieldsOf({ server }, 'server')).toEqual([])
    expect(fieldsOf({ server, protocol: 'engine', certificate: '0'.repeat(64) }, 'server')).toEqual([])
    expect(fieldsOf({ username: 'me', password: 'x' }, 'server')).toEqual([
      'server required',
      'username unsupported',
      'password unsupported',
    ])
  })

  test('an engine of registries takes no image server', () => {
    expect(fieldsOf({ username: 'me', password: 'x' }, 'registry')).toEqual([])
    expect(fieldsOf({ server, protocol: 'engine', certificate: '0'.repeat(64) }, 'registry')).toEqual([
      'server unsupported',
      'protocol unsupported',
      'certificate unsupported',
    ])
  })

  test.each([
    ['https://images.example.org', true],
    ['https://[2001:db8::1]:8443/images', true],
    ['http://images.example.org', false],
    ['https://me:secret@images.example.org', false],
    ['https://images.example.org/?token=1', false],
    ['https://-images/', false],
    ['https://images.example.org/a\nb', false],
  ])('the address %s: %s', (url, isRight) => {
    expect(isValid(images.actions.pull.params, { ...given, server: url })).toBe(isRight)
  })
})

test.each([
  ['rootfs: 45% (1.20MB/s)', 45],
  ['7% (300kB/s)', 7],
  ['metadata: 100% (2.00GB/s)', null],
  ['Unpack: soon', null],
])('the progress in "%s" is %s', (words, percent) => {
  expect(percentOf({ download_progress: words })).toBe(percent)
  expect(percentOf(null)).toBeNull()
})
