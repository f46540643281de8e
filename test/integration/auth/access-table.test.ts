import { Agent } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { groups } from '#shared/contracts/access/groups.ts'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import { users } from '#shared/contracts/access/users.ts'
import { now } from '#shared/events/event.ts'
import { v7 } from 'uuid'
import { grants } from '../../../services/auth/models.ts'
import { policyChanged } from '../../../services/auth/policy/store.ts'
import {
  grantPaths,
  membersOf,
  roleNames,
  type Row,
  rows,
  type Scope,
  scopes,
  verdict,
} from '../../lab/people/access-table.ts'
import { type Answered, ask } from '../../lab/clients/http.ts'
import { type Product, startProduct } from '../../lab/product/product.ts'

const password = 'Kirschkuchen-12'
const agent = new Agent({ keepAlive: true, maxSockets: 16 })
let product: Product

type Person = { name: string; role: (typeof roleNames)[number] | null; scope: Scope }
const people: Person[] = [
  { name: 'nobody.special', role: null, scope: 'everything' },
  ...roleNames.flatMap((role) => scopes.map((scope) => ({ name: `${role.toLowerCase()}.${scope}`, role, scope }))),
]
const tokens = new Map<string, string>()

async function introduce({ name, role, scope }: Person): Promise<void> {
  const { horcrux, url } = product
  await horcrux.call(users, 'create', { username: name, password })
  const subject =
    scope === 'group' ? { kind: 'group' as const, id: `${role}-parent` } : { kind: 'user' as const, id: name }
  if (scope === 'group') {
    await horcrux.call(groups, 'create', { id: subject.id, name: subject.id })
    await horcrux.call(groups, 'create', { id: `${role}`, name: `${role}`, parents: [subject.id], members: [name] })
  }
  // Into the store at once: thousands of grants through the API would take longer than all that is asked.
  const made = { subject, role: role ?? '', created_at: now(), created_by: 'test' }
  for (const path of role === null ? [] : grantPaths(scope)) await grants.insert({ ...made, id: v7(), path })
  const { body } = await ask(url, 'POST /api/auth/login', { json: { username: name, password }, agent })
  tokens.set(name, String(body['token']))
}

beforeAll(async () => {
  product = await startProduct([])
  for (const [pool, which] of [
    ['crew', 0],
    ['others', 1],
  ] as const) {
    await product.horcrux.call(resourcePools, 'create', { id: pool, name: pool })
    for (const member of membersOf(which))
      await product.horcrux.call(resourcePools, 'reserve', { pool, ...member, cpus: 1, memory: 128, disk: 0 })
  }
  for (const person of people) await introduce(person)
  await policyChanged()
})
afterAll(async () => {
  agent.destroy()
  await product?.stop()
})

/** What is wrong with an answer, or nothing. */
function judge(row: Row, expected: 401 | 403 | 'passes', { status, body }: Answered): string | null {
  if (expected !== 'passes') {
    const details = body['details'] as { privilege?: string; path?: string } | undefined
    const isNamed = expected === 401 || (details?.privilege === row.privilege && details.path === row.path)
    return status === expected && isNamed ? null : `${status} ${JSON.stringify(body)} instead of ${expected}`
  }
  const after = row.line.startsWith('GET') ? [200, 404, 422] : [422]
  return after.includes(status) ? null : `${status} ${JSON.stringify(body)} instead of one of ${after.join()}`
}

async function findings(person: string, expected: (row: Row) => 401 | 403 | 'passes'): Promise<string[]> {
  const token = tokens.get(person)
  const found = await Promise.all(
    rows.map(async (row) => {
      const { line, json } = row
      const answer = await ask(product.url, line, { agent, ...(token && { token }), ...(json && { json }) })
      const wrong = judge(row, expected(row), answer)
      return wrong === null ? [] : [`${person}: ${row.name}: ${line}: ${wrong}`]
    }),
  )
  return found.flat()
}

describe('every route of every contract answers as the specification of the roles says', () => {
  test('there are routes of every kind to ask', () => {
    expect(rows.length).toBeGreaterThan(80)
    expect(new Set(rows.map(({ can }) => can.split(' ')[0])).size).toBeGreaterThan(10)
    const passing = people.flatMap(({ role, scope }) => rows.filter((row) => verdict(row, role, scope) === 'passes'))
    expect(passing.length).toBeGreaterThan(rows.length)
  })

  test('a caller who has not signed in', async () => {
    expect(await findings('anonymous', ({ can }) => (can === 'anyone' ? 'passes' : 401))).toEqual([])
  })

  test.each(people)('$name', async ({ name, role, scope }) => {
    expect(await findings(name, (row) => verdict(row, role, scope))).toEqual([])
  })
})
