import { type Static, Type } from 'typebox'
import { Node } from '#shared/contracts/cluster/nodes.ts'

// The older names of the view are made from the rest (older-names.ts).
const {
  libvirt_uri: _uri,
  engine_sockets: _sockets,
  hypervisor_status: _status,
  hypervisor_reason: _reason,
  facts,
  ...properties
} = Node.properties

export const StoredNode = Type.Object({
  ...properties,
  facts: Type.Union([Type.Omit(facts.anyOf[0], ['libvirt_version', 'qemu_version']), Type.Null()]),
  sealed_key: Type.String({ description: 'The private key, sealed for the purpose `node`' }),
})
export type StoredNode = Static<typeof StoredNode>
