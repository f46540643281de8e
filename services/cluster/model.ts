import { Type } from 'typebox'
import { Node } from '#shared/contracts/cluster/nodes.ts'
import { collection } from '#shared/db/collection.ts'

const StoredNode = Type.Object({
  ...Node.properties,
  sealed_key: Type.String({ description: 'The private key, sealed for the purpose `node`' }),
})
export type StoredNode = typeof nodeRecords extends { get: (id: string) => Promise<infer T> } ? NonNullable<T> : never

export const nodeRecords = collection('nodes', StoredNode, {
  kind: 'Node',
  indexes: [{ fields: { name: 1 }, unique: true }],
})

/** The id of the machine that Horcrux itself runs on. */
export const localId = 'local'
