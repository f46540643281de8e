import { asNode } from '../faults/scenarios.ts'
import { change, type Prepare } from './plain-change.ts'

const vm = (name: string) => ({ id: name, name, memory: 128, cpus: 1, node: 'hv1' })
const rule = (name: string) => ({ id: name, name, kind: 'apart', vms: ['a', 'b'] })
const iso = '/var/lib/libvirt/images/tools.iso'

/** Changes of resources. */
export const resourceChanges: Record<string, Prepare> = {
  'resource-pools.create': async (_, name) => ({
    first: change('POST /api/resource-pools', { id: name, name }),
    later: change(`DELETE /api/resource-pools/${name}`),
    read: `/api/resource-pools/${name}`,
  }),
  'resource-pools.replace': async ({ make }, name) => {
    await make('POST /api/resource-pools', { id: name, name })
    return {
      first: change(`PUT /api/resource-pools/${name}`, { name, limits: { cpus: 1 } }),
      later: change(`PUT /api/resource-pools/${name}`, { name, limits: { cpus: 2 } }),
      read: `/api/resource-pools/${name}`,
    }
  },
  'resource-pools.delete': async ({ make }, name) => {
    await make('POST /api/resource-pools', { id: name, name })
    return {
      first: change(`DELETE /api/resource-pools/${name}`),
      later: change('POST /api/resource-pools', { id: name, name, description: 'second' }),
      read: `/api/resource-pools/${name}`,
    }
  },
  'resource-pools.putMember': async ({ make }, name) => {
    await make('POST /api/resource-pools', { id: name, name })
    await make('POST /api/storage/pools', { type: 'dir', id: name })
    return {
      first: change(`PUT /api/resource-pools/${name}/members/storage/${name}`),
      later: change(`DELETE /api/resource-pools/${name}/members/storage/${name}`),
      read: `/api/resource-pools/${name}`,
    }
  },
  'resource-pools.removeMember': async ({ make }, name) => {
    await make('POST /api/resource-pools', { id: name, name })
    await make('POST /api/storage/pools', { type: 'dir', id: name })
    await make(`PUT /api/resource-pools/${name}/members/storage/${name}`)
    return {
      first: change(`DELETE /api/resource-pools/${name}/members/storage/${name}`),
      later: change(`PUT /api/resource-pools/${name}/members/storage/${name}`),
      read: `/api/resource-pools/${name}`,
    }
  },
  'clone-presets.create': async (_, name) => ({
    first: change('POST /api/clone-presets', { id: name, name }),
    later: change(`DELETE /api/clone-presets/${name}`),
    read: `/api/clone-presets/${name}`,
  }),
  'clone-presets.update': async ({ make }, name) => {
    await make('POST /api/clone-presets', { id: name, name })
    return {
      first: change(`PATCH /api/clone-presets/${name}`, { description: 'first' }),
      later: change(`PATCH /api/clone-presets/${name}`, { description: 'second' }),
      read: `/api/clone-presets/${name}`,
    }
  },
  'clone-presets.delete': async ({ make }, name) => {
    await make('POST /api/clone-presets', { id: name, name })
    return {
      first: change(`DELETE /api/clone-presets/${name}`),
      later: change('POST /api/clone-presets', { id: name, name, description: 'second' }),
      read: `/api/clone-presets/${name}`,
    }
  },
  'ha-groups.create': async (_, name) => ({
    first: change('POST /api/ha/groups', { id: name, name }),
    later: change(`DELETE /api/ha/groups/${name}`),
    read: `/api/ha/groups/${name}`,
  }),
  'ha-groups.update': async ({ make }, name) => {
    await make('POST /api/ha/groups', { id: name, name })
    return {
      first: change(`PATCH /api/ha/groups/${name}`, { max_relocations: 2 }),
      later: change(`PATCH /api/ha/groups/${name}`, { max_relocations: 3 }),
      read: `/api/ha/groups/${name}`,
    }
  },
  'ha-groups.delete': async ({ make }, name) => {
    await make('POST /api/ha/groups', { id: name, name })
    return {
      first: change(`DELETE /api/ha/groups/${name}`),
      later: change('POST /api/ha/groups', { id: name, name, max_relocations: 2 }),
      read: `/api/ha/groups/${name}`,
    }
  },
  'ha-resources.create': async ({ make }, name) => {
    await make('POST /api/vms', vm(name))
    return {
      first: change('POST /api/ha/resources', { id: name }),
      later: change(`DELETE /api/ha/resources/${name}`),
      read: `/api/ha/resources/${name}`,
    }
  },
  'ha-resources.update': async ({ make }, name) => {
    await make('POST /api/vms', vm(name))
    await make('POST /api/ha/resources', { id: name })
    return {
      first: change(`PATCH /api/ha/resources/${name}`, { tier: 1 }),
      later: change(`PATCH /api/ha/resources/${name}`, { tier: 2 }),
      read: `/api/ha/resources/${name}`,
    }
  },
  'ha-resources.delete': async ({ make }, name) => {
    await make('POST /api/vms', vm(name))
    await make('POST /api/ha/resources', { id: name })
    return {
      first: change(`DELETE /api/ha/resources/${name}`),
      later: change('POST /api/ha/resources', { id: name, tier: 1 }),
      read: `/api/ha/resources/${name}`,
    }
  },
  'placement-rules.create': async (_, name) => ({
    first: change('POST /api/cluster/placement-rules', rule(name)),
    later: change(`DELETE /api/cluster/placement-rules/${name}`),
    read: `/api/cluster/placement-rules/${name}`,
  }),
  'placement-rules.update': async ({ make }, name) => {
    await make('POST /api/cluster/placement-rules', rule(name))
    return {
      first: change(`PATCH /api/cluster/placement-rules/${name}`, { vms: ['a', 'b', 'c'] }),
      later: change(`PATCH /api/cluster/placement-rules/${name}`, { kind: 'together' }),
      read: `/api/cluster/placement-rules/${name}`,
    }
  },
  'placement-rules.delete': async ({ make }, name) => {
    await make('POST /api/cluster/placement-rules', rule(name))
    return {
      first: change(`DELETE /api/cluster/placement-rules/${name}`),
      later: change('POST /api/cluster/placement-rules', { ...rule(name), kind: 'together' }),
      read: `/api/cluster/placement-rules/${name}`,
    }
  },
  'pools.create': async (_, name) => ({
    first: change('POST /api/storage/pools', { type: 'dir', id: name }),
    later: change(`DELETE /api/storage/pools/${name}`),
    read: `/api/storage/pools/${name}`,
  }),
  'pools.delete': async ({ make }, name) => {
    await make('POST /api/storage/pools', { type: 'dir', id: name })
    return {
      first: change(`DELETE /api/storage/pools/${name}`),
      later: change('POST /api/storage/pools', { type: 'dir', id: name }),
      read: `/api/storage/pools/${name}`,
    }
  },
  'pools.deactivate': async ({ make }, name) => {
    await make('POST /api/storage/pools', { type: 'dir', id: name })
    return {
      first: change(`POST /api/storage/pools/${name}/deactivate`),
      later: change(`POST /api/storage/pools/${name}/activate`),
      read: `/api/storage/pools/${name}`,
    }
  },
  'pools.activate': async ({ make }, name) => {
    await make('POST /api/storage/pools', { type: 'dir', id: name })
    await make(`POST /api/storage/pools/${name}/deactivate`)
    return {
      first: change(`POST /api/storage/pools/${name}/activate`),
      later: change(`POST /api/storage/pools/${name}/deactivate`),
      read: `/api/storage/pools/${name}`,
    }
  },
  'nodes.update': async (_, name) => ({
    first: change('PATCH /api/cluster/nodes/hv1', { name }),
    later: change('PATCH /api/cluster/nodes/hv1', { name: 'hv1' }),
    read: '/api/cluster/nodes/hv1',
  }),
  'nodes.remove': async ({ make, second }, name) => {
    await make('POST /api/cluster/nodes', asNode(name, second))
    return {
      first: change(`DELETE /api/cluster/nodes/${name}`),
      later: change('POST /api/cluster/nodes', asNode(name, second)),
      read: `/api/cluster/nodes/${name}`,
      // The first look at its channels changes its version; `created_at` tells it from the removed one.
      pick: ({ version: _, ...node }) => node,
      after: change(`DELETE /api/cluster/nodes/${name}`),
    }
  },
  'vms.update': async ({ make }, name) => {
    await make('POST /api/vms', vm(name))
    return {
      first: change(`PATCH /api/vms/${name}`, { name: `${name}-first`, description: 'first' }),
      later: change(`PATCH /api/vms/${name}`, { name: `${name}-second`, description: 'second' }),
      read: `/api/vms/${name}`,
    }
  },
  'devices.insert': async ({ make }, name) => {
    await make('POST /api/vms', vm(name))
    return {
      first: change(`PUT /api/vms/${name}/cdrom`, { path: iso }),
      later: change(`DELETE /api/vms/${name}/cdrom`),
      read: `/api/vms/${name}`,
    }
  },
  'devices.eject': async ({ make }, name) => {
    await make('POST /api/vms', vm(name))
    await make(`PUT /api/vms/${name}/cdrom`, { path: iso })
    return {
      first: change(`DELETE /api/vms/${name}/cdrom`),
      later: change(`PUT /api/vms/${name}/cdrom`, { path: iso }),
      read: `/api/vms/${name}`,
    }
  },
  'audit.setRetention': async () => ({
    first: change('PUT /api/audit/retention', { days: 100 }),
    later: change('PUT /api/audit/retention', { days: 200 }),
    read: '/api/audit/retention',
  }),
}
