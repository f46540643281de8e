/**
 * Operations of a call thread: each takes the loaded library and a connection's address, calls libvirt
 * synchronously and returns plain data. A failed libvirt call throws `LibvirtFailure` with the error of this thread.
 */
import { cpuOperations } from './cpu-calls.ts'
import { lastFailure, readPointers, readText, type Library, type Pointer } from './ffi.ts'
import { migrationOperations } from './migration-calls.ts'
import type { Parameters } from './parameters.ts'
import {
  done,
  fail,
  given,
  LibvirtFailure,
  readParameters,
  readRecords,
  takeDomain,
  withDomain,
  type Of,
  type OfRun,
} from './results.ts'
import { snapshotOperations } from './snapshot-calls.ts'
import { toSample, toState, type Sample } from './samples.ts'
import type { StateAndReason } from './states.ts'

/** virErrorNumber of a function that the connection's driver lacks. */
const NO_SUPPORT = 3
const STATE_STATISTICS = 1 << 0
const LIST_PERSISTENT = 1 << 2
const LIST_MANAGED_SAVE = 1 << 8
const LIST_AUTOSTART = 1 << 10

/** Functions of a domain that take numbers, texts and bytes, and answer with a number, negative for failure. */
export type DomainCommand = {
  [F in keyof Library]: Library[F] extends (domain: Pointer | null, ...rest: infer R) => number
    ? R extends (number | bigint | string | Uint8Array | null)[]
      ? F
      : never
    : never
}[keyof Library] &
  `virDomain${string}`
type Rest<F> = F extends (first: Pointer | null, ...rest: infer R) => unknown ? R : never
export type DomainCommandArguments<F extends DomainCommand> = Rest<Library[F]>

type StatisticsQuery = {
  /** virDomainStatsTypes. */
  groups: number
  /** virConnectGetAllDomainStatsFlags. */
  flags: number
}
const allStatistics = <T>(
  library: Library,
  conn: Pointer,
  { groups, flags }: StatisticsQuery,
  shape: (all: Parameters) => T,
) => {
  const records: [Pointer | null] = [null]
  const count = done(library, library.virConnectGetAllDomainStats(conn, groups, records, flags))
  return readRecords(library, given(library, records[0]), count, shape)
}

/** The UUIDs of the domains that match virConnectListAllDomainsFlags. */
const listUuids = (library: Library, conn: Pointer, flags: number): Set<string> => {
  const list: [Pointer | null] = [null]
  const count = done(library, library.virConnectListAllDomains(conn, list, flags))
  const address = given(library, list[0])
  try {
    return new Set(readPointers(library, address, count).map((domain) => takeDomain(library, domain).uuid))
  } finally {
    library.free(address)
  }
}

export const operations = {
  ...snapshotOperations,
  ...cpuOperations,
  ...migrationOperations,

  /** Opens a connection and returns its address. Local drivers such as `test:` have no daemon to keep alive. */
  open(
    library: Library,
    _conn: Pointer,
    { uri, keepAliveSeconds }: { uri: string; keepAliveSeconds: number },
  ): Pointer {
    const conn = given(library, library.virConnectOpen(uri))
    if (library.virConnectSetKeepAlive(conn, keepAliveSeconds, 2) >= 0) return conn
    const failure = lastFailure(library)
    if (failure.code === NO_SUPPORT) return conn
    library.virConnectClose(conn)
    throw new LibvirtFailure(failure)
  },

  registerEvent(
    library: Library,
    conn: Pointer,
    { id, callback, opaque }: { id: number; callback: Pointer; opaque: Pointer },
  ): number {
    return done(library, library.virConnectDomainEventRegisterAny(conn, null, id, callback, opaque, null))
  },

  /** Every registration holds a reference to the connection, so they go first. */
  deregisterEvents(library: Library, conn: Pointer, { registrations }: { registrations: number[] }): void {
    for (const registration of registrations) library.virConnectDomainEventDeregisterAny(conn, registration)
  },

  close(library: Library, conn: Pointer): void {
    library.virConnectClose(conn)
  },

  connectText(
    library: Library,
    conn: Pointer,
    { what }: { what: 'virConnectGetHostname' | 'virConnectGetCapabilities' },
  ): string {
    return given(library, library[what](conn))
  },

  /** Versions as libvirt packs them: major × 1,000,000 + minor × 1,000 + release. */
  versions(library: Library, conn: Pointer): { libvirt: number; hypervisor: number } {
    const libvirt: [number | bigint] = [0]
    const hypervisor: [number | bigint] = [0]
    done(library, library.virConnectGetLibVersion(conn, libvirt))
    done(library, library.virConnectGetVersion(conn, hypervisor))
    return { libvirt: Number(libvirt[0]), hypervisor: Number(hypervisor[0]) }
  },

  /** The bytes of virNodeInfo. */
  nodeInfo(library: Library, conn: Pointer): Uint8Array {
    const bytes = new Uint8Array(72)
    done(library, library.virNodeGetInfo(conn, bytes))
    return bytes
  },

  freeMemoryBytes(library: Library, conn: Pointer): number {
    return Number(library.virNodeGetFreeMemory(conn)) || fail(library)
  },

  isNetworkActive(library: Library, conn: Pointer, { name }: { name: string }): boolean {
    const network = given(library, library.virNetworkLookupByName(conn, name))
    try {
      return done(library, library.virNetworkIsActive(network)) === 1
    } finally {
      library.virNetworkFree(network)
    }
  },

  /** All domains, by three calls to libvirt however many they are. */
  list(library: Library, conn: Pointer): Of<StateAndReason & { isPersistent: boolean; isAutostart: boolean }>[] {
    const states = allStatistics(library, conn, { groups: STATE_STATISTICS, flags: 0 }, toState)
    const persistent = listUuids(library, conn, LIST_PERSISTENT)
    const autostart = listUuids(library, conn, LIST_AUTOSTART)
    return states.map((each) =>
      Object.assign(each, { isPersistent: persistent.has(each.uuid), isAutostart: autostart.has(each.uuid) }),
    )
  },

  findDomain(library: Library, conn: Pointer, { name }: { name: string }): { uuid: string; name: string } {
    return takeDomain(library, given(library, library.virDomainLookupByName(conn, name)))
  },

  /** Defines a secret, or finds the one with its UUID, and sets its value. */
  setSecret(library: Library, conn: Pointer, { xml, value }: { xml: string; value: Uint8Array }): void {
    const secret = given(library, library.virSecretDefineXML(conn, xml, 0))
    try {
      done(library, library.virSecretSetValue(secret, value, value.length, 0))
    } finally {
      library.virSecretFree(secret)
    }
  },

  defineDomain(
    library: Library,
    conn: Pointer,
    { xml, flags }: { xml: string; flags: number },
  ): { uuid: string; name: string } {
    return takeDomain(library, given(library, library.virDomainDefineXMLFlags(conn, xml, flags)))
  },

  domainState(library: Library, conn: Pointer, { uuid }: { uuid: string }): { state: number; reason: number } {
    const state: [number] = [0]
    const reason: [number] = [0]
    withDomain(library, conn, uuid, (domain) => done(library, library.virDomainGetState(domain, state, reason, 0)))
    return { state: state[0], reason: reason[0] }
  },

  domainXml(library: Library, conn: Pointer, { uuid, flags }: { uuid: string; flags: number }): string {
    return withDomain(library, conn, uuid, (domain) => given(library, library.virDomainGetXMLDesc(domain, flags)))
  },

  domainCommand(
    library: Library,
    conn: Pointer,
    { uuid, command, args }: { uuid: string; command: DomainCommand; args: readonly unknown[] },
  ): number {
    // domain.ts builds `args` from the command's own parameter types; they cross a thread as a plain list.
    const call = library[command] as (domain: Pointer, ...args: unknown[]) => number
    return withDomain(library, conn, uuid, (domain) => done(library, call(domain, ...args)))
  },

  monitorCommand(
    library: Library,
    conn: Pointer,
    { uuid, command, flags }: { uuid: string; command: string; flags: number },
  ): string {
    const result: [Pointer | null] = [null]
    withDomain(library, conn, uuid, (domain) =>
      done(library, library.virDomainQemuMonitorCommand(domain, command, result, flags)),
    )
    const address = given(library, result[0])
    try {
      return readText(address)
    } finally {
      library.free(address)
    }
  },

  agentCommand(
    library: Library,
    conn: Pointer,
    { uuid, command, seconds }: { uuid: string; command: string; seconds: number },
  ): string {
    return withDomain(library, conn, uuid, (domain) =>
      given(library, library.virDomainQemuAgentCommand(domain, command, seconds, 0)),
    )
  },

  /** The backup that is under way, as it was begun. */
  backupXml(library: Library, conn: Pointer, { uuid }: { uuid: string }): string {
    return withDomain(library, conn, uuid, (domain) => given(library, library.virDomainBackupGetXMLDesc(domain, 0)))
  },

  /** The job of a domain: its virDomainJobType and its statistics. */
  job(
    library: Library,
    conn: Pointer,
    { uuid, flags }: { uuid: string; flags: number },
  ): { type: number; parameters: Parameters } {
    const [type, list, count]: [[number], [Pointer | null], [number]] = [[0], [null], [0]]
    withDomain(library, conn, uuid, (domain) =>
      done(library, library.virDomainGetJobStats(domain, type, list, count, flags)),
    )
    const [address] = list
    if (address === null) return { type: type[0], parameters: new Map() }
    try {
      return { type: type[0], parameters: readParameters(library, address, count[0]) }
    } finally {
      library.virTypedParamsFree(address, count[0])
    }
  },

  /** The states of all domains that match `flags`; `isSaved`: the next start restores a saved memory. */
  states(library: Library, conn: Pointer, query: StatisticsQuery): Of<StateAndReason & { isSaved: boolean }>[] {
    const states = allStatistics(library, conn, query, toState)
    const saved = listUuids(library, conn, LIST_MANAGED_SAVE)
    return states.map((each) => Object.assign(each, { isSaved: saved.has(each.uuid) }))
  },

  isAutostart(library: Library, conn: Pointer, { uuid }: { uuid: string }): boolean {
    const isOn: [number] = [0]
    withDomain(library, conn, uuid, (domain) => done(library, library.virDomainGetAutostart(domain, isOn)))
    return isOn[0] === 1
  },

  /** Statistics of all domains that match `flags`, or of those in `uuids` that exist. */
  samples(
    library: Library,
    conn: Pointer,
    { uuids, ...query }: StatisticsQuery & { uuids?: readonly string[] | undefined },
  ): OfRun<Sample>[] {
    if (!uuids) return allStatistics(library, conn, query, toSample)
    const domains = uuids.flatMap((uuid) => library.virDomainLookupByUUIDString(conn, uuid) ?? [])
    if (domains.length === 0) return []
    try {
      const list = Buffer.alloc((domains.length + 1) * 8)
      for (const [index, domain] of domains.entries()) list.writeBigUInt64LE(domain, index * 8)
      const records: [Pointer | null] = [null]
      const count = done(library, library.virDomainListGetStats(list, query.groups, records, query.flags))
      return readRecords(library, given(library, records[0]), count, toSample)
    } finally {
      for (const domain of domains) library.virDomainFree(domain)
    }
  },
}

type Operations = typeof operations
export type OperationName = keyof Operations
/** The arguments of an operation besides the library and the connection; undefined for none. */
export type OperationArguments<K extends OperationName> = Parameters3<Operations[K]>
export type OperationResult<K extends OperationName> = ReturnType<Operations[K]>
type Parameters3<F> = F extends (library: Library, conn: Pointer) => unknown
  ? undefined
  : F extends (library: Library, conn: Pointer, args: infer A) => unknown
    ? A
    : never
