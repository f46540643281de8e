import type { Params, Result } from '#shared/contract/contract.ts'
import { localNode } from '#shared/contracts/common.ts'
import type { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { UnavailableError, type Violation } from '#shared/errors.ts'
import { hostFor } from '#shared/nodes/host/hosts.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { packageOf } from '#shared/nodes/host/packages.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { checking } from '#shared/service/violations.ts'
import { volumeRecords } from '../models.ts'
import { openActivePool, openPool } from '../pools/open-pool.ts'
import { requireRoom } from '../pools/room.ts'
import { contentOf } from './clone.ts'
import { copiesIn } from './copy.ts'
import { findVolume, volumeId } from './records.ts'

type Asked = Params<typeof volumesInternal, 'checkAcross'>
type Disk = Asked['disks'][number]

/** The tools of a copy across nodes, on each of them and on this machine. */
const tools = { node: ['qemu-img', 'qemu-nbd'], here: ['qemu-img'] } as const

const lackingTools = async (host: Host, wanted: readonly string[], field: string): Promise<Violation[]> => {
  const found = await Promise.all(wanted.map((program) => host.which(program)))
  return wanted
    .filter((_, index) => found[index] === null)
    .map((program) => ({
      field,
      code: 'tool',
      message: `${host.describe()} has no ${program}; Debian's package ${packageOf(program)} brings it`,
    }))
}

/** Adds a violation for a node that does not answer. */
async function ifReached<T>(field: string, violations: Violation[], work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await checking(field, violations, work)
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error
    violations.push({ field, code: 'unreachable', message: error.message })
    return undefined
  }
}

async function measured({ id, volume, snapshot }: Disk, node: string): Promise<number> {
  const source = await findVolume(id, volume)
  const opened = await openPool(id, node)
  return copiesIn(opened).dataBytes(opened.host, await contentOf(opened, source, snapshot))
}

/** Everything against copies of volumes to another node: nodes, tools, storage pools, names and room. */
export async function checkAcross({
  source_node,
  target_node,
  disks,
}: Asked): Promise<Result<typeof volumesInternal, 'checkAcross'>> {
  const violations: Violation[] = []
  const reached = await Promise.all(
    Object.entries({ source_node, target_node }).map(([field, node]) =>
      ifReached(field, violations, async () => {
        violations.push(...(await lackingTools((await reach(node)).host, tools.node, field)))
        return true
      }),
    ),
  )
  const here = hostFor(localNode, { kind: localNode })
  violations.push(...(await lackingTools(here, tools.here, 'vm')))
  if (reached.includes(undefined)) return { violations, data_bytes: disks.map(() => null) }

  const data_bytes: (number | null)[] = []
  const needed = new Map<string, number>()
  for (const disk of disks) {
    if (await volumeRecords.get(volumeId(disk.pool, disk.name)))
      violations.push({
        field: 'id',
        code: 'taken',
        message: `storage pool '${disk.pool}' has a volume '${disk.name}' already`,
      })
    const bytes = await ifReached('disks', violations, () => measured(disk, source_node))
    data_bytes.push(bytes ?? null)
    needed.set(disk.pool, (needed.get(disk.pool) ?? 0) + (bytes ?? 0))
  }
  for (const [pool, bytes] of needed)
    await ifReached('pool', violations, async () => requireRoom(await openActivePool(pool, target_node), bytes))
  return { violations, data_bytes }
}
