import { afterAll, beforeAll, expect, test } from 'vitest'
import { vms } from '#shared/contracts/vm/vms.ts'
import { within } from '#shared/runtime/request-context.ts'
import type { HostConnection } from '#shared/nodes/libvirt/connection/host-connection.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { qemu } from '../../../services/vm/drivers/qemu/qemu.ts'
import { startGuests } from '../../lab/guests/guests.ts'
import { amount } from '../../lab/faults/seed.ts'
import { until } from '../../lab/wait.ts'
import { done } from '../../lab/product/run-operation.ts'
import { labHosts } from '../../lab/hosts/lab.ts'

const count = amount({ sample: 60, all: 200 })
const [host] = labHosts
let guests: Awaited<ReturnType<typeof startGuests>>

beforeAll(async () => {
  guests = await startGuests(host!)
})
afterAll(() => guests?.horcrux.stop())

test(`${count} stopped machines are listed with live state, for one libvirt call however many there are`, async () => {
  const { horcrux } = guests
  const ids = Array.from({ length: count }, (_, number) => `bulk-${number}`)
  const make = (id: string) => done(horcrux, vms, 'create', { id, name: id, memory: 128, cpus: 1, node: 'hv1' })
  for (let from = 0; from < count; from += 20) await Promise.all(ids.slice(from, from + 20).map(make))

  const calls: string[] = []
  const context = {
    broker: horcrux.broker,
    service: 'vms',
    caller: { kind: 'service', name: 'vms' },
    requestId: '',
  } as const
  const seen = await within(context, async () => {
    const reached = await reach('hv1')
    const engine = reached.engine('libvirt')
    const counting: HostConnection = Object.assign(Object.create(engine.client) as HostConnection, {
      call: ((operation, args, options) => {
        calls.push(operation)
        return engine.client.call(operation, args, options)
      }) as HostConnection['call'],
    })
    return qemu.statuses({ ...reached, engine: (() => ({ ...engine, client: counting })) as typeof reached.engine })
  })
  expect(calls).toEqual(['states'])
  expect(seen.size).toBe(count)

  await guests.virsh('start', 'bulk-7')
  const list = async () => (await horcrux.call(vms, 'list', { limit: 1000, filter: 'node:hv1' })).data
  await until(async () => (await list()).find(({ id }) => id === 'bulk-7')?.status === 'running')
  expect((await list()).filter(({ status }) => status === 'stopped')).toHaveLength(count - 1)
  await done(horcrux, vms, 'stop', { id: 'bulk-7', force: true })
  for (let from = 0; from < count; from += 20)
    await Promise.all(ids.slice(from, from + 20).map((id) => done(horcrux, vms, 'delete', { id })))
})
