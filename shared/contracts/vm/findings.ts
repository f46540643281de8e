import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { Id, nullable, oneOf, strict } from '#shared/contracts/common.ts'

export const Finding = strict({
  id: Type.String({ description: 'The same for the same thing, each time that it is found' }),
  kind: oneOf('guest', 'volume', 'file'),
  node: nullable(Id),
  name: Type.String({ description: 'Name of the guest, id of the volume, or path of the file' }),
  owner: nullable(Type.String({ description: 'Path of the VM that it belongs to, which does not exist' })),
  operation_id: nullable(Type.String({ description: 'The operation that made it; null: it does not say' })),
  operation_state: nullable(Type.String({ description: 'null: the operation is not known any more' })),
  action: Type.Enum(['remove', 'report'], {
    description:
      'remove: the sweep removes it, since it has the mark of an operation that has ended without it. report: it stays',
  }),
  reason: Type.String(),
})
export type Finding = Static<typeof Finding>

export const findings = contract('findings', {
  list: {
    does: 'List guests, volumes and files whose owner is gone, with what the sweep does to each',
    rest: 'GET /findings',
    can: 'SysAudit on /api/findings',
    params: strict({ fields: Type.Optional(Type.String({ maxLength: 1000 })) }),
    result: strict({
      data: Type.Array(Finding),
      unreached: Type.Array(strict({ name: Type.String(), reason: Type.String() }), {
        description: 'Nodes and storage pools that did not answer: they may have more',
      }),
    }),
  },
})
