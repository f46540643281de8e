import { Type } from 'typebox'
import { expect, test } from 'vitest'
import { modelOf } from '#shared/db/model.ts'
import { filterOf } from '#shared/db/page.ts'

const Lamp = Type.Object({
  id: Type.String(),
  name: Type.String(),
  lit: Type.Boolean(),
  watts: Type.Number(),
  tags: Type.Array(Type.String()),
})
const lamps = modelOf('lamps', Lamp, [])

test.each([
  ['name:kitchen', { name: 'kitchen' }],
  ['id:a.b*', { _id: { $regex: `^${RegExp.escape('a.b')}` } }],
  ['tags:true', { tags: 'true' }],
  ['lit:true', { lit: true }],
  ['lit:false', { lit: false }],
  ['watts:-4.5', { watts: -4.5 }],
])('%s asks by the type of the field', (text, wanted) => {
  expect(filterOf(text, lamps)).toEqual({ $and: [wanted] })
})

test.each([
  ['lit:maybe', 'lit is true or false'],
  ['lit:t*', 'lit is true or false'],
  ['lit:', 'lit is true or false'],
  ['watts:4*', 'watts is a number'],
  ['watts:0x10', 'watts is a number'],
  ['name:a,watts:many,lit:maybe,lit:no', 'watts is a number; lit is true or false'],
])('%s is refused, all of it at once', (text, message) => {
  expect(() => filterOf(text, lamps)).toThrow(
    expect.objectContaining({ status: 422, violations: [{ field: 'filter', code: 'invalid', message }] }) as Error,
  )
})
