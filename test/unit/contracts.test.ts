import { expect, test } from 'vitest'
import type { Action } from '#shared/contract.ts'
import { contracts } from '#shared/contracts/index.ts'
import { privileges } from '#shared/privileges.ts'

const actions = contracts.flatMap((contract) =>
  Object.entries(contract.actions as Record<string, Action>).map(([key, action]) => ({
    name: `${contract.name}.${key}`,
    action,
  })),
)

test('every action says who may: a known privilege on a path, signed-in, anyone or service', () => {
  for (const { name, action } of actions) {
    const [privilege, path] = action.can.split(' on ')
    const isPlain = ['anyone', 'signed-in', 'service'].includes(action.can)
    expect(isPlain || ((privileges as readonly string[]).includes(privilege!) && path!.startsWith('/')), name).toBe(
      true,
    )
  }
})

test('every parameter of a route is among the parameters of its action', () => {
  for (const { name, action } of actions)
    for (const [, key] of (action.rest ?? '').matchAll(/\{(\w+)\}/g))
      expect(Object.keys(action.params.properties), name).toContain(key)
})

test('no two actions have the same route', () => {
  const routes = actions.flatMap(({ action }) => (action.rest ? [action.rest.replaceAll(/\{\w+\}/g, '{}')] : []))
  expect(routes.filter((route, index) => routes.indexOf(route) !== index)).toEqual([])
})

test('no action takes fields that its contract does not name', () => {
  for (const { name, action } of actions) expect(action.params, name).toHaveProperty('additionalProperties', false)
})

test('a list that filters its items is open to all who are signed in', () => {
  for (const { name, action } of actions)
    if ('sees' in action && action.sees) expect(action.can, name).toBe('signed-in')
})
