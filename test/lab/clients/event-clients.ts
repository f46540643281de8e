import { event } from '#shared/events/event.ts'
import { publish } from '#shared/events/publish.ts'
import { people, resetPeople, tellAuthChanged } from '../product/things.ts'
import { openSocket, type TestSocket } from './sockets.ts'

/** When everything of these tests happens. */
export const timestamp = new Date().toISOString()

export const asAnn = { authorization: 'Bearer ann-token' }
export const asBob = { authorization: 'Bearer bob-token' }

export const created = (vm_id: string) => publish(event('VmCreated', { vm_id, name: vm_id, timestamp }))

/** The machines of which a client has heard, in order. */
export const ids = (socket: TestSocket) => socket.events().map(({ data }) => data['vm_id'])

/** Ann sees every machine, Bob only `b1`, and every gateway knows it. */
export async function resetClients(): Promise<void> {
  resetPeople()
  people.set('bob-token', { user: 'bob', rights: [{ path: '/api/vms/b1', privileges: ['VmAudit'] }] })
  await tellAuthChanged()
}

/** A client of a gateway's events, subscribed. */
export async function subscribed(
  gateway: { url: () => string },
  headers: Record<string, string>,
  first: object = { topics: ['vm:events'] },
): Promise<TestSocket> {
  const socket = await openSocket(gateway.url(), { headers, first })
  await socket.next('Subscribed')
  return socket
}

/** Where a reader is that begins now. */
export async function placeAt(gateway: { url: () => string }): Promise<number> {
  const socket = await subscribed(gateway, asAnn)
  socket.socket.close()
  return (await socket.next('Subscribed')).seq
}
