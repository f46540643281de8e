import { collection } from '#shared/db/collection.ts'
import { storeChannels, storeEngines } from './stored-before.ts'
import { StoredNode } from './stored-node.ts'

export const nodeRecords = collection('nodes', StoredNode, {
  kind: 'Node',
  resource: { path: '/api/cluster/nodes/{id}', sees: 'SysAudit on /api/cluster/nodes/{id}' },
  indexes: [{ fields: { name: 1 }, unique: true }],
  migrate: async (documents) => {
    await storeEngines(documents)
    await storeChannels(documents)
  },
})

/** The id of the machine that Horcrux itself runs on. */
export const localId = 'local'
