import type { TSchema } from 'typebox'
import { describe, expect, test } from 'vitest'
import { isValid } from '#shared/contract/validate.ts'
import { poolKinds } from '#shared/contracts/storage/pool-kinds.ts'
import { VolumeName } from '#shared/contracts/storage/volumes.ts'
import { hostileNames } from '../../lab/storage/hostile.ts'

/** Fields that are paths, on a node or at a server. */
const paths = ['path', 'export']

/** The fields of all kinds that are names: strings with a pattern that are no paths. */
const named = Object.entries(poolKinds).flatMap(([type, { given }]) =>
  Object.entries(given as Record<string, TSchema & { pattern?: string }>)
    .filter(([name, { pattern }]) => pattern !== undefined && !paths.includes(name))
    .map(([name, schema]) => ({ field: `${type}.${name}`, schema })),
)

test('there are sixty and more', () => {
  expect(new Set(hostileNames).size).toBeGreaterThanOrEqual(60)
})

describe.each([{ field: 'name of a volume', schema: VolumeName as TSchema }, ...named])('$field', ({ schema }) => {
  test('is no hostile name', () => {
    expect(hostileNames.filter((name) => isValid(schema, name))).toEqual([])
  })
})
