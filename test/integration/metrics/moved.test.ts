import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { migrations } from '#shared/contracts/migration/migrations.ts'
import { monitoring } from '#shared/contracts/metrics/monitoring.ts'
import { ringOf } from '../../../services/metrics/collect/subjects.ts'
import { containerService } from '../../../services/container/service.ts'
import { emptyTable } from '../../../services/metrics/history/table.ts'
import { metricsService } from '../../../services/metrics/service.ts'
import { fresh, type MovingLab, startMoving } from '../../lab/guests/moving.ts'
import { labHosts } from '../../lab/hosts/lab.ts'
import { done } from '../../lab/product/run-operation.ts'
import { until } from '../../lab/wait.ts'

describe.skipIf(labHosts.length === 0)('the metrics of a guest that moves live', () => {
  let lab: MovingLab
  beforeAll(async () => {
    lab = await startMoving(labHosts, [containerService, metricsService])
  })
  afterAll(async () => {
    await lab?.clear()
    await lab?.stop()
  })

  test('go on under its id without a spike: counters of the target begin anew, and the history has a mark', async () => {
    const id = fresh('measured')
    await lab.make(id, { start: true })
    /** Waits for two samples, between which there is a rate. @returns the processor time of the last one, in seconds */
    const sampledOn = (node: string) =>
      until(
        () => {
          const { identities, identity } = ringOf(`vms/${id}`)?.table(0, Infinity) ?? emptyTable()
          const isThere = [-1, -2].every((row) => identities[identity.at(row) ?? -1]?.node === node)
          return isThere && ringOf(`vms/${id}`)!.value('cpu_seconds')
        },
        { what: `two samples of ${id} on ${node}` },
      )
    const before = await sampledOn('hv1')
    await done(lab.horcrux, migrations, 'start', { vm_id: id, target_node: 'hv2', migration_type: 'live' })
    // Without a counter that falls the test would show nothing.
    expect(await sampledOn('hv2')).toBeLessThan(before)
    for (const metric of ['cpu_percent', 'disk_read_bytes_per_second', 'network_received_bytes_per_second']) {
      const { data, marks } = await lab.horcrux.call(monitoring, 'history', {
        metric,
        subject: `vms/${id}`,
        interval: '10s',
      })
      expect(marks).toContainEqual({ time: expect.any(String), kind: 'moved', node: 'hv2' })
      const measured = data.flatMap(({ min, max }) => (min === null || max === null ? [] : [{ min, max }]))
      expect(measured.length).toBeGreaterThan(1)
      expect(Math.min(...measured.map(({ min }) => min))).toBeGreaterThanOrEqual(0)
      // One virtual processor, and a guest of which no disk or network can do more.
      const most = metric === 'cpu_percent' ? 150 : 2 ** 30
      expect(Math.max(...measured.map(({ max }) => max))).toBeLessThan(most)
    }
  })
})
