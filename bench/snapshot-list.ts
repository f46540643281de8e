import { snapshots } from '#shared/contracts/vm/snapshots.ts'
import { within } from '#shared/runtime/request-context.ts'
import { snapshotQuotas } from '#shared/contracts/vm/snapshot-quotas.ts'
import { vmRecords } from '../services/vm/model.ts'
import { cancel, reserve } from '../services/vm/quotas/reserve.ts'
import { quotaService } from '../services/vm/quotas/service.ts'
import { configOf, snapshotRecords } from '../services/vm/snapshots/model.ts'
import { repairSizes } from '../services/vm/snapshots/sizes.ts'
import { snapshotService } from '../services/vm/snapshots/service.ts'
import { plainRecord } from '../test/lab/guests/plain-guest.ts'
import { startHorcrux } from '../test/lab/product/horcrux.ts'
import { timed } from './demand.ts'
import { median, type Row } from './figures.ts'

const count = 10_000
const rounds = 20

/** Pages of the list of a VM with ten thousand snapshots, through NATS and store. */
export async function benchSnapshotList(): Promise<Row[]> {
  const horcrux = await startHorcrux({ services: [{ name: 'vm', serves: [snapshotService, quotaService] }] })
  const caller = { kind: 'service', name: 'vm' } as const
  try {
    await within({ broker: horcrux.broker, service: 'vm', caller, requestId: '' }, async () => {
      const vm = await vmRecords.insert(plainRecord)
      const all = Array.from({ length: count }, (_, number) => {
        const created_at = new Date(Date.UTC(2026, 0, 1) + number * 60_000).toISOString()
        return {
          _id: `s-${String(number).padStart(5, '0')}`,
          vm_id: vm.id,
          name: `hourly_${number}`,
          description: '',
          state: 'ready',
          parent_id: number === 0 ? null : `s-${String(number - 1).padStart(5, '0')}`,
          schedule_id: null,
          consistency: 'filesystem',
          vm_status: 'running',
          pause_ms: 40,
          frozen_filesystems: 1,
          disks: [],
          config: configOf(vm),
          size_bytes: 1,
          memory_bytes: null,
          has_variables: false,
          has_tpm: false,
          measured_at: created_at,
          created_at,
          updated_at: created_at,
          version: 1,
        }
      })
      // One write each would take minutes, and is not what is measured.
      for (let from = 0; from < count; from += 1000)
        await snapshotRecords.model.insertMany(all.slice(from, from + 1000), { ordered: true })
    })
    const page = async (limit: number, more: object = {}) => {
      const times: number[] = []
      for (let round = 0; round < rounds; round++)
        times.push(await timed(() => horcrux.call(snapshots, 'list', { id: plainRecord.id, limit, ...more })))
      return median(times)
    }
    const quota = { id: 'all', name: 'all', scope: { kind: 'global' }, max_count: 2 * count, max_bytes: 2 * count }
    await within({ broker: horcrux.broker, service: 'vm', caller, requestId: '' }, repairSizes)
    await horcrux.call(snapshotQuotas, 'create', quota)
    const repeated = async (work: () => Promise<unknown>) => {
      const times: number[] = []
      for (let round = 0; round < rounds; round++) times.push(await timed(work))
      return median(times)
    }
    const room = { id: 'new', vm_id: plainRecord.id, memory_bytes: 1, disks: [] }
    const reservation = () =>
      within({ broker: horcrux.broker, service: 'vm', caller, requestId: '' }, async () => {
        await reserve(room, { by: 'bench' })
        await cancel(room.id)
      })
    const below = 100
    return [
      { what: 'first 100 of 10,000 snapshots of a VM', value: await page(100), unit: 'ms', below },
      { what: '1,000 of 10,000 snapshots of a VM', value: await page(1000), unit: 'ms', below },
      {
        what: 'room in a quota of all of them, reserved and given back',
        value: await repeated(reservation),
        unit: 'ms',
        below,
      },
      { what: 'one of 10,000 by its name', value: await page(100, { filter: 'name:hourly_9999' }), unit: 'ms', below },
    ]
  } finally {
    await horcrux.stop()
  }
}
