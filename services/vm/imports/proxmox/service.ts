import { isDeepStrictEqual } from 'node:util'
import { requireRight } from '#shared/access/require-right.ts'
import { call } from '#shared/bus/call.ts'
import { seal, unseal } from '#shared/config/secrets.ts'
import type { Params } from '#shared/contract/contract.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import type { ForeignDisk } from '#shared/contracts/storage/volumes-internal.ts'
import { type ProxmoxConnection, proxmoxImports } from '#shared/contracts/vm/proxmox-imports.ts'
import type { ImportPlan } from '#shared/contracts/vm/vm-imports.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { ConflictError, invalid } from '#shared/errors.ts'
import { newId } from '#shared/ids.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { implement } from '#shared/service/implement.ts'
import { planned, requirePlan } from '#shared/service/plan.ts'
import { throwAll } from '#shared/service/violations.ts'
import { drivers } from '../../drivers/drivers.ts'
import { placesFor } from '../../hardware/plan.ts'
import * as creation from '../../lifecycle/create.ts'
import { requireStorage } from '../../lifecycle/require-storage.ts'
import { judged } from '../judge.ts'
import { connectApi } from './api.ts'
import { fileTimes, locate } from './locate.ts'
import { drivesOf } from './map-drives.ts'
import { mapVm } from './map-vm.ts'
import { listVms, type Mark, readMark, readVm, seesTasks } from './read.ts'

type Given = Params<typeof proxmoxImports, 'run'>
/** The virtual machine there. The secret of the token is sealed. */
type Source = Omit<ProxmoxConnection, 'token_secret'> & { sealed: string; vmid: number; node: string; digest: string }
type Input = { source: Source; created: creation.Input }
type Plan = { plan: ImportPlan; request: creation.Given; foreign: ForeignDisk[]; source: Source }
type Seen = Mark & { times: (string | null)[] }

const purpose = 'proxmox'
const [hypervisor] = vms.actions.create.params.properties.hypervisor.enum

const connectionOf = ({ address, port, token_id, token_secret, fingerprint }: Given): ProxmoxConnection => ({
  address,
  port,
  token_id,
  token_secret,
  ...(fingerprint !== undefined && { fingerprint }),
})

/** The node of the new VM. @throws ValidationError when the storage pool does not tell it */
async function nodeFor({ node, pool }: Given): Promise<string> {
  if (node !== undefined) return node
  const { nodes } = await call(pools, 'get', { id: pool })
  if (nodes?.length === 1) return nodes[0]!
  throw invalid('node', `storage pool '${pool}' is on several nodes: name one`, 'required')
}

const withoutAudit = (node: string) => ({
  field: 'token_id',
  code: 'forbidden',
  message: `the API token has no Sys.Audit on /nodes/${node}: a start during the copy would not be noticed; the role PVEAuditor on / has it`,
})

async function planOf(given: Given, asking: Call): Promise<Plan> {
  const { id = newId(), pool, source_node, vmid } = given
  // As for the list: it connects to any address.
  requireRight(asking, 'SysModify', '/api/cluster/nodes')
  requireRight(asking, 'SysModify', `/api/cluster/nodes/${encodeURIComponent(source_node)}`)
  requireStorage(asking, [pool])
  const node = await nodeFor(given)
  const connection = connectionOf(given)
  const api = connectApi(connection)
  const theirs = await readVm(api, vmid)
  const drives = drivesOf(theirs.config)
  const violations: Plan['plan']['violations'] = []
  const [foreign, maySee] = await Promise.all([
    locate(source_node, theirs.node, drives.drives, violations),
    seesTasks(api, theirs.node),
  ])
  if (!maySee) violations.push(withoutAudit(theirs.node))
  const sizes = foreign.map((disk) => disk?.size_bytes)
  const placesOf: Parameters<typeof mapVm>[3]['placesOf'] = (buses) => placesFor(drivers[hypervisor].naming, buses)
  const mapped = mapVm(theirs, drives, { ...given, start: false }, { id, node, sizes, placesOf })
  const { plan, request } = await judged(mapped, 'vmid', violations)
  const { id: _, ...effects } = request
  const { token_secret, ...open } = connection
  const source = { ...open, sealed: seal(token_secret, purpose), vmid, node: theirs.node, digest: theirs.digest }
  return {
    plan: planned(plan, { effects, vmid, digest: theirs.digest }),
    request,
    foreign: foreign.filter((disk) => disk !== undefined),
    source,
  }
}

async function look({ sealed, vmid, node, ...open }: Source, disks: ForeignDisk[]): Promise<Seen> {
  const api = connectApi({ ...open, token_secret: unseal(sealed, purpose) })
  return { ...(await readMark(api, node, vmid)), times: await fileTimes(disks) }
}

/** @throws ConflictError when the virtual machine there runs, or is another one than was planned */
async function firstLook(source: Source, disks: ForeignDisk[]): Promise<Seen> {
  const seen = await look(source, disks)
  if (seen.status !== 'stopped')
    throw new ConflictError(`Virtual machine ${source.vmid} there is ${seen.status} by now`)
  if (seen.digest !== source.digest)
    throw new ConflictError(`The configuration of virtual machine ${source.vmid} there has changed since the plan`)
  return seen
}

/** @throws ConflictError when the virtual machine there was started or changed while its disks were copied */
async function requireUnchanged(source: Source, disks: ForeignDisk[], before: Seen): Promise<null> {
  const { tasks, ...after } = await look(source, disks)
  const { tasks: earlier, ...then } = before
  // Old tasks leave the list of the host while a long copy goes on.
  if (isDeepStrictEqual(after, then) && tasks.every((task) => earlier.includes(task))) return null
  throw new ConflictError(
    `Virtual machine ${source.vmid} there was started or changed while its disks were copied: the copy is removed`,
  )
}

const importing = {
  ...operation({
    accept: async (given: Given, accepting): Promise<Input> => {
      const { plan, request, foreign, source } = await planOf(given, accepting)
      requirePlan(plan)
      throwAll(plan.violations)
      const created = await creation.accept(request, accepting)
      const disks = created.disks.map((disk, index) => ({ ...disk, foreign: foreign[index]! }))
      return { source, created: { ...created, disks } }
    },
    run: async (op: Op, { source, created }): Promise<Vm> => {
      const disks = created.disks.flatMap(({ foreign }) => foreign ?? [])
      const before = await op.step('reading source', () => firstLook(source, disks))
      return creation.run(op, created, () => op.step('checking source', () => requireUnchanged(source, disks, before)))
    },
  }),
  plan: async (given: Given, asking: Call) => (await planOf(given, asking)).plan,
}

export const proxmoxImportService = implement(proxmoxImports, {
  list: async (connection) => ({ data: await listVms(connectApi(connection)) }),
  run: importing,
})
