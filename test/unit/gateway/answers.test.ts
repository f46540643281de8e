import { describe, expect, test } from 'vitest'
import { contracts } from '#shared/contracts/index.ts'
import { stacks } from '#shared/contracts/container/stacks.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import type { Action } from '#shared/contract/contract.ts'
import { shapeOf } from '../../../services/gateway/rest/ask-service.ts'

const planned = Object.values(contracts).flatMap(({ name, actions }) =>
  Object.entries(actions as Record<string, Action>)
    .filter(([, action]) => 'plan' in action && action.plan !== undefined)
    .map(([verb, action]) => ({ what: `${name}.${verb}`, action })),
)

describe('the status of an answer', () => {
  test.each(planned)('$what answers 200 with its plan, and 202 with its operation', ({ action }) => {
    expect(shapeOf(action, { plan: true })).toEqual({ status: 200, hasBody: true })
    expect(shapeOf(action, { plan: false })).toEqual({ status: 202, hasBody: true })
  })

  test('a DELETE that has a plan is among them', () => {
    expect(planned.map(({ action }) => action)).toContain(stacks.actions.delete)
  })

  test('a query answers 200', () => {
    expect(shapeOf(vms.actions.get, {})).toEqual({ status: 200, hasBody: true })
  })
})
