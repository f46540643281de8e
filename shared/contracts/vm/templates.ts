import { type Static, Type } from 'typebox'
import { cloneParams } from '#shared/contracts/vm/clones.ts'
import { CloneMode } from '#shared/contracts/storage/volumes.ts'
import { contract } from '#shared/contract/contract.ts'
import { ById, Id, ListQuery, Name, Page, record, strict } from '#shared/contracts/common.ts'
import { Vm } from '#shared/contracts/vm/vms.ts'

/** A virtual machine that is there to be cloned: same id, same record, cannot be started or changed. */
export const Template = record('name cpus memory node tags id')({
  ...Vm.properties,
  linked_clones: Type.Array(Type.String(), {
    description: 'Paths of the VMs and volumes that read from its disks; while there are any it stays a template',
  }),
})
export type Template = Static<typeof Template>

export const templates = contract('templates', {
  list: {
    does: 'List the templates',
    rest: 'GET /templates',
    can: 'signed-in',
    itemAccess: 'VmAudit on /api/vms/{id}',
    params: ListQuery('name', 'node', 'tags', 'hypervisor'),
    result: Page(Template),
  },
  get: {
    does: 'Get a template',
    rest: 'GET /templates/{id}',
    can: 'VmAudit on /api/vms/{id}',
    params: ById,
    result: Template,
    computed: true,
  },
  create: {
    does: 'Turn a virtual machine that is off into a template, or make one of a snapshot of it',
    rest: 'POST /templates',
    can: 'VmAllocate on /api/vms/{vm_id}',
    operation: true,
    audit: 'vm_config_changed',
    params: strict({
      vm_id: Id,
      snapshot: Type.Optional(
        Type.String({ ...Id, description: 'Make a new template of this snapshot; the virtual machine stays as it is' }),
      ),
      id: Type.Optional(Type.String({ ...Id, description: 'Id of the new template; made by the server unless given' })),
      name: Type.Optional(Type.String({ ...Name, description: 'Name of the new template' })),
      mode: Type.Optional(CloneMode),
      pool: Type.Optional(Type.String({ ...Id, description: 'Storage pool of the disks of the new template' })),
    }),
    result: Template,
  },
  delete: {
    does: 'Turn a template without linked clones back into a virtual machine; nothing of it is lost',
    rest: 'DELETE /templates/{id}',
    can: 'VmAllocate on /api/vms/{id}',
    operation: true,
    audit: 'vm_config_changed',
    params: ById,
    result: Vm,
  },
  deploy: {
    does: 'Make a virtual machine from a template; takes VmAudit on the template as well',
    rest: 'POST /templates/{template}/deploy',
    can: 'VmAllocate on /api/vms/{id}',
    canInside: 'VmAllocate on /api/resource-pools/{resource_pool}',
    operation: true,
    audit: 'vm_created',
    params: strict({ template: Id, ...cloneParams }),
    result: Vm,
  },
})
