import { requireRight } from '#shared/access/require-right.ts'
import { call } from '#shared/bus/call.ts'
import type { Params, Result } from '#shared/contract/contract.ts'
import { appliances } from '#shared/contracts/storage/appliances.ts'
import { uploadPath } from '#shared/contracts/storage/uploads.ts'
import { type ImportPlan, vmImports } from '#shared/contracts/vm/vm-imports.ts'
import type { Vm } from '#shared/contracts/vm/vms.ts'
import { newId } from '#shared/ids.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { implement } from '#shared/service/implement.ts'
import { planned, requirePlan } from '#shared/service/plan.ts'
import { throwAll } from '#shared/service/violations.ts'
import * as creation from '../lifecycle/create.ts'
import { takeRoomIn } from '../lifecycle/quota-reservation.ts'
import { requireStorage } from '../lifecycle/require-storage.ts'
import { judged } from './judge.ts'
import { type Mapped, mapAppliance } from './map-appliance.ts'

type Given = Params<typeof vmImports, 'run'>
type Source = Params<typeof appliances, 'read'>
type Read = Result<typeof appliances, 'read'>
/** `files`: of each disk, in the order of the VM's; null for an empty one. */
type Input = { source: Source; files: (string | null)[]; created: creation.Input }
type Plan = { plan: ImportPlan; request: creation.Given; uploads: string[] }

const readingMs = 60_000

const sourceOf = ({ pool, upload, files }: Given): Source => ({ pool, upload, files })

async function planOf(given: Given, asking: Call): Promise<Plan> {
  const { pool, id = newId(), storage = pool } = given
  requireRight(asking, 'DatastoreAllocate', `/api/storage/pools/${encodeURIComponent(pool)}`)
  requireStorage(asking, [storage])
  const { node, uploads, appliance }: Read = await call(appliances, 'read', sourceOf(given), { timeoutMs: readingMs })
  const { plan, request } = await judged(mapAppliance(appliance, given, { id, node }), 'upload')
  const { id: _, ...effects } = request
  return { plan: planned(plan, { effects, files: filesOf(plan) }), request, uploads }
}

const filesOf = ({ disks }: Pick<Mapped, 'disks'>) => disks.map(({ file }) => file)

/** The disks of the VM whose bytes are in a file. */
const filled = ({ files, created }: Input) =>
  files.flatMap((file, index) =>
    file === null ? [] : [{ index, file, size_bytes: created.disks[index]!.disk.size_bytes }],
  )

const importing = {
  ...operation({
    accept: async (given: Given, accepting): Promise<Input> => {
      const { plan, request, uploads } = await planOf(given, accepting)
      requirePlan(plan)
      throwAll(plan.violations)
      await accepting.hold(...uploads.map((upload) => uploadPath(given.pool, upload)))
      return { source: sourceOf(given), files: filesOf(plan), created: await creation.accept(request, accepting) }
    },
    run: async (op: Op, input): Promise<Vm> => {
      const { source } = input
      const { room, ...created } = input.created
      if (room) await takeRoomIn(op, room)
      const wanted = filled(input)
      const disks = wanted.map(({ file, size_bytes }) => ({ file, size_bytes }))
      const { parts } = await op.child(
        appliances,
        'check',
        { ...source, disks },
        {
          name: 'checking files',
          undo: () => call(appliances, 'release', source),
        },
      )
      const partOf = new Map(wanted.map(({ index }, place) => [index, parts[place]!]))
      const withParts = created.disks.map((disk, index) => {
        const part = partOf.get(index)
        return part ? { ...disk, part } : disk
      })
      const made = await creation.run(op, { ...created, disks: withParts })
      await op.commit()
      await op.step('removing uploads', () => call(appliances, 'discard', source))
      return made
    },
  }),
  plan: async (given: Given, asking: Call) => (await planOf(given, asking)).plan,
}

export const vmImportService = implement(vmImports, { run: importing })
