import { vmBulk } from '#shared/contracts/vm/vm-bulk.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { bulkOf } from '#shared/service/bulk.ts'
import { implement } from '#shared/service/implement.ts'
import { viewOf, vmRecords } from './model.ts'

export const vmBulkService = implement(vmBulk, {
  run: bulkOf({
    contract: vms,
    kind: 'Virtual machine',
    find: async (ids) => (await vmRecords.all({ _id: { $in: ids } })).map(viewOf),
    search: async (query, maySee) => {
      const { data, total } = await vmRecords.list(query, maySee)
      return { data: data.map(viewOf), total }
    },
    ways: {
      start: (op, each) => op.children(vms, 'start', each),
      shutdown: (op, each) => op.children(vms, 'shutdown', each),
      stop: (op, each) => op.children(vms, 'stop', each),
      restart: (op, each) => op.children(vms, 'restart', each),
      reset: (op, each) => op.children(vms, 'reset', each),
      pause: (op, each) => op.children(vms, 'pause', each),
      resume: (op, each) => op.children(vms, 'resume', each),
      delete: (op, each) => op.children(vms, 'delete', each),
    },
  }),
})
