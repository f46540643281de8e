import { config } from '#shared/config/config.ts'
import type { EngineState } from '#shared/contracts/cluster/nodes.ts'
import { now } from '#shared/events/event.ts'
import { accelerator } from '#shared/nodes/accelerator.ts'
import type { EngineHealth } from '#shared/nodes/engine.ts'
import { engineKinds } from '#shared/nodes/engines.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import type { StoredNode } from './stored-node.ts'

const read = async (host: Host, path: string) => (await host.readFile(path)).toString('utf8')

/** Reads the facts of a host, without its engines. @throws UnavailableError when it does not answer */
export async function factsOf(host: Host): Promise<NonNullable<StoredNode['facts']>> {
  const [cpuinfo, meminfo, kernel, hostname, machine, found] = await Promise.all([
    read(host, '/proc/cpuinfo'),
    read(host, '/proc/meminfo'),
    read(host, '/proc/sys/kernel/osrelease'),
    read(host, '/proc/sys/kernel/hostname'),
    host.runChecked('uname', ['-m']),
    accelerator(host, config().vmAccel),
  ])
  return {
    hostname: hostname.trim(),
    architecture: machine.stdout.trim(),
    cpu_model: /^model name\s*:\s*(.*)$/m.exec(cpuinfo)?.[1] ?? 'unknown',
    cpus: cpuinfo.match(/^processor\s*:/gm)?.length ?? 1,
    memory_mib: Math.floor(Number(/^MemTotal:\s*(\d+) kB/m.exec(meminfo)?.[1] ?? 0) / 1024),
    kernel: kernel.trim(),
    accel: found.accelerator,
    accel_reason: found.because,
  }
}

type Checked = Omit<EngineState, 'checked_at'>

const checkedAs = (kind: string, health: EngineHealth): Checked => ({
  kind,
  status: health.status,
  reason: health.reason,
  version: health.status === 'online' ? health.version : null,
  components: health.status === 'online' ? health.components : {},
})

/** Asks all engines of a node at once. @param before their states so far: one that is the same keeps its time */
export async function engineStatesOf({ engine }: Reached, before: EngineState[] = []): Promise<EngineState[]> {
  const check = async (kind: (typeof engineKinds)[number]): Promise<EngineState> => {
    const checked = checkedAs(kind, await engine(kind).health())
    const known = before.find((each) => each.kind === kind)
    return known && isSame(known, checked) ? known : { ...checked, checked_at: now() }
  }
  return Promise.all(engineKinds.map(check))
}

const isSame = (known: EngineState, { kind, status, reason, version, components }: Checked) =>
  known.kind === kind &&
  known.status === status &&
  known.reason === reason &&
  known.version === version &&
  JSON.stringify(known.components) === JSON.stringify(components)
