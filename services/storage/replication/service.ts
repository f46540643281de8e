import { replicas } from '#shared/contracts/storage/replicas.ts'
import { implement } from '#shared/service/implement.ts'
import { replicaRecords, viewOf } from './model.ts'
import { remove } from './remove.ts'
import { transferFor } from './transfer/transfer.ts'
import { failback } from './use/failback.ts'
import { failover } from './use/failover.ts'
import { test } from './use/test.ts'

export const replicaService = implement(replicas, {
  list: async (query, { maySee }) => {
    const page = await replicaRecords.list(query, maySee)
    return { ...page, data: page.data.map(viewOf) }
  },
  get: async ({ id }) => viewOf(await replicaRecords.require(id)),
  delete: remove,
  transferFor,
  test,
  failover,
  failback,
})
