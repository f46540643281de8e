import { haGroups, haResources } from '#shared/contracts/cluster/ha.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import type { LabHost } from '../hosts/hosts.ts'
import { until } from '../wait.ts'
import type { Calling, Scenario } from './scenario.ts'

/** A guest under HA that is meant to run and is off; only the operation itself starts it. */
export const haScenarios = (
  { uri }: LabHost,
  running: (horcrux: Calling) => Promise<unknown>,
): Record<string, Scenario> => ({
  'ha-resources.failover': {
    before: async (horcrux) => {
      await running(horcrux)
      await localHost().runChecked('virsh', ['-q', '-c', uri, 'destroy', 'it'])
      await until(async () => (await horcrux.call(vms, 'get', { id: 'it' })).status === 'stopped', {
        what: 'the guest being off',
      })
      await horcrux.call(haGroups, 'create', { id: 'by-hand', name: 'by-hand', automatic: false, max_restarts: 10 })
      await horcrux.call(haResources, 'create', { id: 'it', group: 'by-hand' }, { timeoutMs: 30_000 })
    },
    params: { id: 'it' },
  },
})

/** Takes all VMs out of HA, and removes the groups. */
export async function clearHa(horcrux: Calling): Promise<void> {
  for (const { id } of (await horcrux.call(haResources, 'list', {})).data)
    await horcrux.call(haResources, 'delete', { id }, { timeoutMs: 30_000 })
  for (const { id } of (await horcrux.call(haGroups, 'list', {})).data) await horcrux.call(haGroups, 'delete', { id })
}
