import { containerBulk } from '#shared/contracts/container/container-bulk.ts'
import { containers } from '#shared/contracts/container/containers.ts'
import { bulkOf } from '#shared/service/bulk.ts'
import { implement } from '#shared/service/implement.ts'
import { containerRecords, viewOf } from './model.ts'

export const containerBulkService = implement(containerBulk, {
  run: bulkOf({
    contract: containers,
    kind: 'Container',
    find: async (ids) => (await containerRecords.all({ _id: { $in: ids } })).map(viewOf),
    search: async (query, maySee) => {
      const { data, total } = await containerRecords.list(query, maySee)
      return { data: data.map(viewOf), total }
    },
    ways: {
      start: (op, each) => op.children(containers, 'start', each),
      stop: (op, each) => op.children(containers, 'stop', each),
      restart: (op, each) => op.children(containers, 'restart', each),
      pause: (op, each) => op.children(containers, 'pause', each),
      resume: (op, each) => op.children(containers, 'resume', each),
      delete: (op, each) => op.children(containers, 'delete', each),
    },
  }),
})
