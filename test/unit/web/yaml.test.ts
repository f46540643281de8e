import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isSame, lineOf, readYaml, toYaml } from '../../../web/forms/yaml.ts'

test('a request is the same after its YAML was read, whatever its texts hold', () => {
  const request = fc.dictionary(
    fc.string({ minLength: 1 }).filter((key) => key !== '__proto__'),
    fc.jsonValue(),
  )
  fc.assert(
    fc.property(request, (values) => {
      const { values: read, mistakes } = readYaml(toYaml(values))
      expect(mistakes).toEqual([])
      expect(isSame(read!, JSON.parse(JSON.stringify(values))), toYaml(values)).toBe(true)
    }),
  )
})

const text = `name: web
memory: 100
disks:
  - pool: main
    size: 1
  - pool: fast
`

test.each([
  ['memory', 2],
  ['disks.1.pool', 6],
  ['disks.0', 4],
  // A field that is missing is told at what should have it.
  ['disks.1.size', 6],
  ['cpus', undefined],
])('a violation of %s is at line %s', (field, line) => {
  expect(lineOf(text, field)).toBe(line)
})

test('a mistake of the syntax has its line, and a text that is no request is none', () => {
  const { values, mistakes } = readYaml('name: web\nmemory: [1\ncpus: 2\n')
  expect(values).toBeUndefined()
  expect(mistakes[0]!.line).toBe(3)
  expect(readYaml('- a\n- b\n').values).toBeUndefined()
  expect(readYaml('').values).toEqual({})
})

test('the order of fields makes no other request; a field that is undefined is not there', () => {
  expect(isSame({ a: 1, b: { c: 2, d: [3] } }, { b: { d: [3], c: 2 }, a: 1, e: undefined })).toBe(true)
  expect(isSame({ a: [1, 2] }, { a: [2, 1] })).toBe(false)
})
