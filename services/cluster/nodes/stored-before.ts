import type { Migration } from '#shared/db/model.ts'
import { configFromOlderNames } from './older-names.ts'
import { unknownEngines } from './unchecked.ts'

type Before = {
  _id: string
  libvirt_uri: string
  engine_sockets?: { lxd?: string; incus?: string }
  facts: ({ libvirt_version?: unknown; qemu_version?: unknown } & Record<string, unknown>) | null
}

/** Brings nodes that were stored before they had engines to the form of today. The next check fills in the states. */
export const storeEngines: Migration = async (documents) => {
  // Only such a node has this field, and so the form of `Before`.
  for (const found of await documents.find({ libvirt_uri: { $exists: true } }).toArray()) {
    const { _id, libvirt_uri, engine_sockets = {}, facts } = found as unknown as Before
    const { libvirt_version: _l, qemu_version: _q, ...kept } = facts ?? {}
    const set = {
      engine_config: configFromOlderNames({}, { libvirt_uri, engine_sockets }),
      engines: unknownEngines(),
      facts: facts && kept,
    }
    const unset = { libvirt_uri: '', engine_sockets: '', hypervisor_status: '', hypervisor_reason: '' }
    await documents.updateOne({ _id: _id as never }, { $set: set, $unset: unset })
  }
}

/** Gives nodes that were stored before their channels were checked an empty list, which the next check fills. */
export const storeChannels: Migration = async (documents) => {
  await documents.updateMany({ channels: { $exists: false } }, { $set: { channels: [] } })
}
