import { AppError } from '#shared/errors.ts'
import type { Host } from './host/host.ts'

/** Input of an engine's driver: a host, the configuration of this engine there, and names for messages. */
export type EngineSite<Config> = {
  /** The node's id. */
  node: string
  /** The node's name. */
  name: string
  /** The host is this machine: its sockets need no forwarding. */
  isLocal: boolean
  host: Host
  /** undefined: the usual places. */
  config: Config | undefined
}

export type EngineFacts = {
  version: string
  /** Versions of the programs that it runs guests with, by name. */
  components: Record<string, string>
}

export type EngineHealth =
  | ({ status: 'online'; reason: null } & EngineFacts)
  /** `absent`: the host does not have this engine. `offline`: it has, and the engine does not answer. */
  | { status: 'offline' | 'absent'; reason: string }

export type EngineEvent =
  /** Events arrive from now on. Those of before may be missing: read all states again. */
  | { kind: 'connected' }
  | { kind: 'disconnected'; error: Error }
  /** An object of the engine changed. `id` is the engine's own name of it, `change` the engine's own word. */
  | { kind: 'object'; id: string; change: string }

export type CpuQuery = { architecture: string; accel: 'kvm' | 'tcg' }
/** The CPU of a host's guests. `description` is the engine's own, opaque to others. */
export type HostCpu = { description: string; model: string; features: string[] }
export type CpuBaseline = { model: string; vendor: string | null; features: string[] }

export type EngineCpus = {
  /** undefined when the host has no guests of this kind. @throws UnavailableError */
  hostCpu: (query: CpuQuery) => Promise<HostCpu | undefined>
  /** The CPU that hosts with these descriptions have in common. @throws UnavailableError */
  baseline: (query: CpuQuery, descriptions: string[]) => Promise<CpuBaseline>
}

/** One engine of one node: libvirt, LXD and so on. Opens its connection when it is first needed, and again when it was lost. */
export type Engine = {
  /** @throws UnavailableError when the engine does not answer */
  facts: () => Promise<EngineFacts>
  health: () => Promise<EngineHealth>
  /** Subscribes to events; a listener that is added while the connection is up gets `connected` too. @returns ends it */
  events: (listener: (event: EngineEvent) => void) => () => void
  /** True while events arrive. */
  isConnected: () => boolean
  /** Of engines whose guests see a CPU that is chosen for them. */
  cpus?: EngineCpus
  close: () => Promise<void>
}

/** The driver of one kind of engine. */
export type EngineDriver<Config, E extends Engine = Engine> = { connect: (site: EngineSite<Config>) => E }

/**
 * The health of an engine: online when it tells its facts.
 * @param whyAbsent the reason that the host does not have the engine, or null when it has; asked only after a failure
 */
export async function healthBy(
  facts: () => Promise<EngineFacts>,
  whyAbsent: () => Promise<string | null>,
): Promise<EngineHealth> {
  try {
    return { status: 'online', reason: null, ...(await facts()) }
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    const absent = await whyAbsent().catch(() => null)
    return absent === null ? { status: 'offline', reason: error.message } : { status: 'absent', reason: absent }
  }
}
