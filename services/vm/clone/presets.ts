import { call } from '#shared/bus/call.ts'
import { ClonePreset, clonePresets } from '#shared/contracts/vm/clone-presets.ts'
import { permissions } from '#shared/contracts/access/permissions.ts'
import { collection } from '#shared/db/collection.ts'
import { now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import { implement } from '#shared/service/implement.ts'

export const presetRecords = collection('clone_presets', ClonePreset, {
  kind: 'Clone preset',
  resource: { path: '/api/clone-presets/{id}', sees: 'VmAudit on /api/clone-presets/{id}' },
  indexes: [{ fields: { name: 1 }, unique: true }],
})

export const presetService = implement(clonePresets, {
  list: (query, { maySee }) => presetRecords.list(query, maySee),
  get: ({ id }) => presetRecords.require(id),
  create: ({ id = newId(), ...given }) => {
    const at = now()
    return presetRecords.insert({ ...given, id, created_at: at, updated_at: at })
  },
  update: ({ id, ...given }) =>
    presetRecords.change(id, () => ({
      // A field that becomes undefined is removed from the record.
      set: Object.fromEntries(Object.entries(given).map(([key, value]) => [key, value ?? undefined])),
    })),
  delete: async ({ id }) => {
    const preset = await presetRecords.requireForChange(id)
    await call(permissions, 'forget', { path: `/api/clone-presets/${id}` })
    await presetRecords.remove(preset)
    return null
  },
})
