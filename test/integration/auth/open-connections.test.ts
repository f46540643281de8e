import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { v7 } from 'uuid'
import type { Witness } from '#shared/contracts/access/permissions.ts'
import { event, now } from '#shared/events/event.ts'
import { publish } from '#shared/events/publish.ts'
import { type Asker, type SignedIn, startSignedIn } from '../../lab/people/signed-in.ts'
import { openSocket, type TestSocket } from '../../lab/clients/sockets.ts'
import { until } from '../../lab/wait.ts'

let lab: SignedIn
beforeAll(async () => {
  lab = await startSignedIn()
})
afterAll(() => lab?.stop())
afterEach(() => void vi.useRealTimers())

const topics = ['vm:status', 'vm:events', 'operations']
async function listen({ headers }: Asker): Promise<TestSocket> {
  const socket = await openSocket(lab.url, { headers, first: { topics } })
  await socket.next('Subscribed')
  return socket
}
const changed = (vm_id: string) =>
  publish(event('VmStatusChanged', { vm_id, old_status: 'stopped', new_status: 'running', timestamp: now() }))
const deleted = (vm_id: string, to: { pools?: string[]; witnesses?: Witness[] }) =>
  publish({ ...event('VmDeleted', { vm_id, name: vm_id, timestamp: now() }), for: to })
const heardOf = ({ events }: TestSocket) => events().map(({ type, data }) => `${type} ${String(data['vm_id'])}`)
/** Has everybody who hears of the machine `end` hear of it, so that what was to come before is there. */
async function flushTo(...sockets: TestSocket[]): Promise<void> {
  const vm_id = `end-${v7()}`
  await deleted(vm_id, { pools: ['marks'] })
  await Promise.all(
    sockets.map((socket) => until(() => heardOf(socket).includes(`VmDeleted ${vm_id}`), { what: vm_id })),
  )
}
const marks: [string, string] = ['VmUser', '/api/resource-pools/marks']

test('a grant that ends by the clock ends the events of an open connection', async () => {
  const person = await lab.person('temp', marks)
  const end = Date.now() + 5 * 60_000
  await lab.grant('temp', ['VmUser', '/api/vms/a', { expires_at: new Date(end).toISOString() }])
  const socket = await listen(person)
  await changed('a')
  await socket.next('VmStatusChanged')
  vi.useFakeTimers({ toFake: ['Date'], now: end + 400 })
  const count = () => heardOf(socket).filter((heard) => heard === 'VmStatusChanged a').length
  /** True if a change reaches the connection. */
  const isHeard = async () => {
    const before = count()
    await changed('a')
    await flushTo(socket)
    return count() > before
  }
  // The gateway looks at the clock several times a second.
  await until(async () => !(await isHeard()), { what: 'the end of the grant' })
  expect(await isHeard()).toBe(false)
  expect((await person.ask('GET /api/auth/session')).body['rights']).toHaveLength(1)
  socket.socket.close()
})

test('the event of a deletion reaches those who could see the deleted resource, and no others', async () => {
  const owner = await lab.person('owner', marks, ['VmAdmin', '/api/vms/kept'])
  const key = await lab.keyOf(owner, 'owner', [{ role: 'VmUser', path: marks[1] }])
  const others = [owner, key, await lab.person('stranger', marks)]
  const sockets = await Promise.all(others.map(listen))
  const own = (networks: string[][]): Witness[] => [{ kind: 'user', id: 'owner', networks }]
  await deleted('mine', { witnesses: own([]) })
  await deleted('from-here', { witnesses: own([['127.0.0.0/8']]) })
  await deleted('from-elsewhere', { witnesses: own([['10.0.0.0/8']]) })
  await deleted('by-key', { witnesses: [{ kind: 'api_key', id: key.id, networks: [] }] })
  await deleted('in-other-pool', { pools: ['others'] })
  await flushTo(...sockets)
  const heard = sockets.map((socket) => heardOf(socket).filter((one) => !one.includes('end-')))
  expect(heard).toEqual([['VmDeleted mine', 'VmDeleted from-here'], ['VmDeleted by-key'], []])
  expect(JSON.stringify(sockets.map(({ received }) => received))).not.toContain('witnesses')
  for (const { socket } of sockets) socket.close()
})

test('a restricted key knows only of the operations that it has begun', async () => {
  const owner = await lab.person('grower', ['VmAdmin', '/api/things/**'], marks)
  const grants = [
    { role: 'VmUser', path: '/api/things/b' },
    { role: 'VmUser', path: marks[1] },
  ]
  const bot = await lab.keyOf(owner, 'grower', grants)
  for (const id of ['a', 'b']) await owner.ask('POST /api/things', { json: { id, name: id, size: 2 } })
  const socket = await listen(bot)
  const grow = async (by: Asker, id: string) =>
    (await by.ask(`POST /api/things/${id}/grow`, { json: { by: 2 } })).body['id']
  const [first, second] = [await grow(owner, 'a'), await grow(bot, 'b')]
  expect([typeof first, typeof second]).toEqual(['string', 'string'])
  const seenBy = async ({ ask }: Asker) =>
    ((await ask('GET /api/operations')).body['data'] as { id: string }[]).map(({ id }) => id).toSorted()
  expect(await seenBy(owner)).toEqual([first, second].toSorted())
  expect(await seenBy(bot)).toEqual([second])
  expect((await bot.ask(`GET /api/operations/${String(first)}`)).status).toBe(404)
  expect((await bot.ask(`POST /api/operations/${String(first)}/cancel`)).status).toBe(404)
  await until(() => socket.events().some(({ data }) => data['id'] === second && data['state'] === 'succeeded'))
  await flushTo(socket)
  expect(new Set(socket.events().flatMap(({ data }) => data['id'] ?? []))).toEqual(new Set([second]))
  socket.socket.close()
})

test('revoking the signing keys closes connections opened with tokens; rotating the keys does not', async () => {
  const person = await lab.person('holder', marks)
  const key = await lab.keyOf(person, 'holder', [{ role: 'VmUser', path: marks[1] }])
  const [byToken, byKey] = [await listen(person), await listen(key)]
  expect((await lab.root.ask('POST /api/auth/rotate-keys', { json: {} })).status).toBe(200)
  await flushTo(byToken, byKey)
  expect((await lab.root.ask('POST /api/auth/rotate-keys', { json: { revoke: true } })).status).toBe(200)
  expect(await byToken.closed).toMatchObject({ code: 4401 })
  await flushTo(byKey)
  byKey.socket.close()
})
