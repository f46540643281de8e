import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { BulkResult, mostInBulk } from '#shared/contracts/bulk.ts'
import { Id, Name, nullable, strict } from '#shared/contracts/common.ts'
import { vms } from '#shared/contracts/vm/vms.ts'

const { hypervisor, status } = vms.actions.unmanaged.result.properties.data.items.properties

const Reason = strict({ field: Type.String(), code: Type.String(), message: Type.String() })

const Adopted = strict({
  uuid: Type.String({ description: "The hypervisor's own name of it" }),
  domain: Type.String({ description: 'Its name on the node; one that is off is renamed' }),
  name: Type.String({ description: 'Its name as a VM' }),
  id: nullable(Type.String({ description: 'Id of the VM; null: made by the server' })),
  hypervisor,
  status,
  cpus: Type.Integer(),
  memory: Type.Integer({ description: 'MiB' }),
  disks: Type.Array(
    strict({
      id: Type.String({ description: 'Its place' }),
      source: Type.String(),
      size_bytes: Type.Integer(),
      pool: nullable(Id),
      volume: nullable(Type.String()),
    }),
  ),
  notes: Type.Array(Type.String(), {
    description: 'Parts of it that stay as they are, and that Horcrux neither shows, changes nor copies',
  }),
})

export const AdoptionPlan = strict({
  plan_id: Type.String({ description: 'For the header `If-Plan`' }),
  node: Id,
  resource_pool: nullable(Id),
  adopts: Type.Array(Adopted),
  refused: Type.Array(
    strict({ uuid: Type.String(), domain: Type.String(), name: Type.String(), reasons: Type.Array(Reason) }),
  ),
  unread: Type.Array(Type.String(), {
    description: 'Guests that there was no time to read in the request, as `domain`; the operation reads them',
  }),
})
export type AdoptionPlan = Static<typeof AdoptionPlan>

/** A contract of its own, so that its operations wait in another queue than those that they start. */
export const vmAdoptions = contract('vm-adoptions', {
  run: {
    does: 'Take over many guests of a node, or all that Horcrux does not manage, each as an operation of its own; one that is refused or fails stops no other. Takes VmAllocate for each as well',
    rest: 'POST /cluster/nodes/{id}/domains/adopt',
    can: 'SysModify on /api/cluster/nodes/{id}',
    operation: true,
    audit: 'vm_created',
    plan: AdoptionPlan,
    params: strict({
      id: Id,
      domains: Type.Optional(
        Type.Array(
          strict({
            domain: Type.String({ minLength: 1, maxLength: 255, description: 'Its `uuid` or name on the node' }),
            id: Type.Optional(Id),
            name: Type.Optional(Name),
          }),
          { minItems: 1, maxItems: mostInBulk, description: 'These; not given: all' },
        ),
      ),
      resource_pool: vms.actions.adopt.params.properties.resource_pool,
      plan: Type.Boolean({ default: false, description: 'Answer with the plan, and change nothing' }),
    }),
    result: BulkResult,
  },
})
