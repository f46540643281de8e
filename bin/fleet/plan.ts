import { fraction, type Run } from '#shared/nodes/simulated/activity.ts'
import { type SimulatedNode, sourceOfImage } from '#shared/nodes/simulated/world.ts'
import type { SeedContainer } from '../../services/container/drivers/simulated/seed.ts'
import { driverOf } from '../../services/storage/drivers/drivers.ts'
import type { SeedPool, SeedVolume } from '../../services/storage/drivers/simulated/seed.ts'
import type { SeedVm } from '../../services/vm/drivers/simulated/seed.ts'

export type FleetPlan = {
  nodes: SimulatedNode[]
  pools: SeedPool[]
  volumes: SeedVolume[]
  vms: SeedVm[]
  containers: SeedContainer[]
}

const gib = 2 ** 30
const day = 86_400_000
/** Guests of a node, and the most nodes of a fleet. */
const guestsOfNode = 50
const mostNodes = 40
/** One container for so many VMs. */
const vmsPerContainer = 4

type Role = { role: string; memory: number; cpus: number; disks: number[]; image: string }
const roles: readonly [Role, ...Role[]] = [
  { role: 'web', memory: 2048, cpus: 2, disks: [20], image: 'nginx:1.27' },
  { role: 'app', memory: 4096, cpus: 4, disks: [40], image: 'node:24' },
  { role: 'db', memory: 16_384, cpus: 8, disks: [20, 200], image: 'postgres:17' },
  { role: 'cache', memory: 8192, cpus: 2, disks: [10], image: 'valkey:8' },
  { role: 'ci', memory: 4096, cpus: 4, disks: [60], image: 'runner:4' },
  { role: 'mail', memory: 2048, cpus: 2, disks: [100], image: 'postfix:3' },
]
const stages = ['prod', 'prod', 'test', 'dev'] as const

const pick = <T>(from: readonly [T, ...T[]], id: string, word: string): T =>
  from[Math.floor(fraction(id, word) * from.length)] ?? from[0]
/** Mostly running, for up to a month. */
function runOf(id: string, now: number): Run {
  const share = fraction(id, 'state')
  const since = Math.round(now - fraction(id, 'since') * 30 * day)
  if (share < 0.85) return { status: 'running', runs: 1, since, ran_ms: 0 }
  if (share < 0.97) return { status: 'stopped', runs: 1, since: null, ran_ms: 0 }
  return { status: 'paused', runs: 1, since: null, ran_ms: now - since }
}

/** Before its run. */
const madeAt = (id: string, now: number) =>
  new Date(now - 30 * day - Math.round(fraction(id, 'age') * 300 * day)).toISOString()

const padded = (number: number, digits: number) => String(number).padStart(digits, '0')
const macOf = (index: number) =>
  `52:54:00:${[16, 8, 0].map((bits) => ((index >> bits) & 255).toString(16).padStart(2, '0')).join(':')}`

/** The number of nodes for so many VMs: three at least. */
const nodesFor = (count: number) => Math.min(mostNodes, Math.max(3, Math.ceil(count / guestsOfNode)))

function nodesOf(count: number): SimulatedNode[] {
  const number = nodesFor(count)
  // Room for the largest share of the memory of the fleet, and half as much again.
  const memory_mib = Math.max(65_536, Math.ceil((count / number) * 6144 * 1.5))
  return Array.from({ length: number }, (_, index) => {
    const id = `sim-${padded(index + 1, 2)}`
    return { id, node: id, cpus: 64, memory_mib, engines: ['libvirt', 'docker'] }
  })
}

/** Each fourth node has a storage pool of its own: it cannot be drained while guests with disks there run. */
const hasOwnPool = (index: number) => index % 4 === 0

/** One storage pool that all nodes share, and those of single nodes. */
function poolsOf(nodes: readonly SimulatedNode[]): SeedPool[] {
  const shared = {
    nodes: nodes.map(({ id }) => id),
    monitors: ['mon.invalid:6789'],
    pool: 'vms',
    user: 'horcrux',
    libvirt_uuid: '00000000-0000-4000-8000-000000000000',
  }
  return [
    { id: sharedPool, type: 'ceph', config: shared },
    ...nodes
      .filter((_, index) => hasOwnPool(index))
      .map(({ id }): SeedPool => ({
        id: localPool(id),
        type: 'dir',
        config: { node: id, path: `/var/lib/horcrux/pools/${localPool(id)}` },
      })),
  ]
}
const sharedPool = 'shared'
const localPool = (node: string) => `local-${node}`

type Places = ReadonlyMap<string, string>
const placesOf = (pools: readonly SeedPool[]): Places =>
  // The configuration is of the kind of its driver.
  new Map(pools.map((pool) => [pool.id, driverOf(pool).placeOf(pool.config as never)]))

function vmOf(index: number, node: string, places: Places, now: number): SeedVm {
  const id = `vm-${padded(index + 1, 5)}`
  const { role, memory, cpus, disks } = pick(roles, id, 'role')
  const stage = pick(stages, id, 'stage')
  const isShared = !places.has(localPool(node)) || fraction(id, 'pool') < 0.6
  const pool = isShared ? sharedPool : localPool(node)
  return {
    id,
    name: `${role}-${stage}-${padded(index + 1, 5)}`,
    description: '',
    hypervisor: 'qemu',
    node,
    memory,
    cpus,
    tags: [role, stage],
    run: runOf(id, now),
    mac: macOf(index + 1),
    bridge: 'br0',
    disks: disks.map((size, disk) => ({
      id: `vd${'abc'[disk]}`,
      pool,
      volume: `${id}-disk-${disk}`,
      source: sourceOfImage(places.get(pool)!, `${id}-disk-${disk}`),
      format: isShared ? 'raw' : 'qcow2',
      // A guest moves while it runs when its node keeps nothing of its disks.
      cache: isShared ? 'none' : 'writeback',
      size_bytes: size * gib,
    })),
    created_at: madeAt(id, now),
  }
}

function containerOf(index: number, node: string, now: number): SeedContainer {
  const id = `container-${padded(index + 1, 5)}`
  const { role, image } = pick(roles, id, 'role')
  return {
    id,
    name: `${role}-${padded(index + 1, 5)}`,
    node,
    runtime: 'docker',
    image,
    memory: 512,
    cpus: 1,
    labels: { role, stage: pick(stages, id, 'stage') },
    run: runOf(id, now),
    created_at: madeAt(id, now),
  }
}

/** The fleet of a number of VMs. The same number gives the same fleet; only its times follow `now`. */
export function planFleet(count: number, now: number): FleetPlan {
  const nodes = nodesOf(count)
  const nodeOf = (index: number) => nodes[index % nodes.length]!.id
  const pools = poolsOf(nodes)
  const places = placesOf(pools)
  const vms = Array.from({ length: count }, (_, index) => vmOf(index, nodeOf(index), places, now))
  const containers = Array.from({ length: Math.ceil(count / vmsPerContainer) }, (_, index) =>
    containerOf(index, nodeOf(index), now),
  )
  const volumes = vms.flatMap(({ id, disks }) =>
    disks.map(({ pool, volume, format, size_bytes }): SeedVolume => ({
      pool: pool!,
      name: volume!,
      format,
      size_bytes,
      used_by: `/api/vms/${id}`,
    })),
  )
  return { nodes, pools, volumes, vms, containers }
}
