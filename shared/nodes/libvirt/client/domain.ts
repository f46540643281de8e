/**
 * Domains, by UUID. Every function throws NotFoundError for a domain that the host does not have, ConflictError for
 * what its state does not allow, ValidationError for a definition that libvirt refuses, UnavailableError when the host
 * does not answer.
 */
import type { DomainCommand, DomainCommandArguments } from '../worker/calls.ts'
import type { Libvirt } from '../connection/connection.ts'
import { decodeState, type StateAndReason } from '../worker/states.ts'

export type DomainName = { uuid: string; name: string }
export type DomainSummary = DomainName & StateAndReason & { isPersistent: boolean; isAutostart: boolean }

/** The sum of the flags whose condition holds. */
const flags = (...each: [condition: boolean | undefined, flag: number][]) =>
  each.reduce((sum, [condition, flag]) => (condition === true ? sum + flag : sum), 0)

/** Runs a function of libvirt on a domain; it may take long. */
export const order = async <F extends DomainCommand>(
  libvirt: Libvirt,
  uuid: string,
  command: F,
  ...args: DomainCommandArguments<F>
): Promise<void> => {
  await libvirt.call('domainCommand', { uuid, command, args }, { isSlow: true })
}

/** The number that a function of libvirt answers about a domain. */
const numberOf = <F extends DomainCommand>(
  libvirt: Libvirt,
  uuid: string,
  command: F,
  ...args: DomainCommandArguments<F>
): Promise<number> => libvirt.call('domainCommand', { uuid, command, args })

/** True when the host keeps the memory of a domain that is off (managed save): its next start restores it. */
export const hasManagedSave = async (libvirt: Libvirt, uuid: string) =>
  (await numberOf(libvirt, uuid, 'virDomainHasManagedSaveImage', 0)) > 0
/** The number of libvirt's own snapshots of a domain. */
export const countSnapshots = (libvirt: Libvirt, uuid: string) => numberOf(libvirt, uuid, 'virDomainSnapshotNum', 0)
/** The number of libvirt's checkpoints of a domain. */
export const countCheckpoints = (libvirt: Libvirt, uuid: string) =>
  numberOf(libvirt, uuid, 'virDomainListAllCheckpoints', null, 0)

/** All domains of the host, in one call however many they are. */
export const listDomains = (libvirt: Libvirt): Promise<DomainSummary[]> => libvirt.call('list', undefined)

/** The domain of a name. */
export const findDomain = (libvirt: Libvirt, name: string): Promise<DomainName> => libvirt.call('findDomain', { name })

/**
 * Makes a definition persistent, or changes the one with the same UUID.
 * @param validate check it against libvirt's schema first
 */
export const defineDomain = (libvirt: Libvirt, xml: string, { validate = true } = {}): Promise<DomainName> =>
  libvirt.call('defineDomain', { xml, flags: flags([validate, 1]) }, { isSlow: true })

/**
 * Removes the definition, with its managed save, snapshot and checkpoint metadata, UEFI variables and state of an
 * emulated TPM. A domain that runs goes on as a transient one.
 */
export const undefineDomain = (libvirt: Libvirt, uuid: string): Promise<void> =>
  order(libvirt, uuid, 'virDomainUndefineFlags', 1 | 2 | 4 | 16)

/**
 * Removes the definition alone: UEFI variables and the state of an emulated TPM stay. ConflictError for a domain with a
 * managed save, snapshots or checkpoints, which would be lost.
 * @param hasTpm the flag that keeps its state is of libvirt 8.9
 */
export const undefineKeeping = (libvirt: Libvirt, uuid: string, { hasTpm = false } = {}): Promise<void> =>
  order(libvirt, uuid, 'virDomainUndefineFlags', flags([true, 8], [hasTpm, 64]))

/**
 * The domain's XML: that of the running guest, or with `inactive` that of the next start.
 * @param secure with passwords
 * @param migratable as another host takes it
 */
export const domainXml = (
  libvirt: Libvirt,
  uuid: string,
  { inactive, secure, migratable }: { inactive?: boolean; secure?: boolean; migratable?: boolean } = {},
) => libvirt.call('domainXml', { uuid, flags: flags([secure, 1], [inactive, 2], [migratable, 8]) })

export const domainState = async (libvirt: Libvirt, uuid: string): Promise<StateAndReason> => {
  const { state, reason } = await libvirt.call('domainState', { uuid })
  return decodeState(state, reason)
}

/** @param paused the guest's processors do not run yet */
export const startDomain = (libvirt: Libvirt, uuid: string, { paused = false } = {}) =>
  order(libvirt, uuid, 'virDomainCreateWithFlags', flags([paused, 1]))

/** Ends the guest at once. @param graceful only ask QEMU to end (SIGTERM), never kill it */
export const destroyDomain = (libvirt: Libvirt, uuid: string, { graceful = false } = {}) =>
  order(libvirt, uuid, 'virDomainDestroyFlags', flags([graceful, 1]))

/** The way to ask a guest: by its power button, or by the agent in it. Default: libvirt's choice. */
type ShutdownMode = 'acpi' | 'agent'
const shutdownFlags = (how: ShutdownMode | undefined) => flags([how === 'acpi', 1], [how === 'agent', 2])

/** Asks the guest to shut down, and does not wait for it: the `stopped` event tells. */
export const shutdownDomain = (libvirt: Libvirt, uuid: string, how?: ShutdownMode) =>
  order(libvirt, uuid, 'virDomainShutdownFlags', shutdownFlags(how))
/** Asks the guest to reboot. */
export const rebootDomain = (libvirt: Libvirt, uuid: string, how?: ShutdownMode) =>
  order(libvirt, uuid, 'virDomainReboot', shutdownFlags(how))
/** Presses the reset button. */
export const resetDomain = (libvirt: Libvirt, uuid: string) => order(libvirt, uuid, 'virDomainReset', 0)
export const suspendDomain = (libvirt: Libvirt, uuid: string) => order(libvirt, uuid, 'virDomainSuspend')
export const resumeDomain = (libvirt: Libvirt, uuid: string) => order(libvirt, uuid, 'virDomainResume')
/** Wakes a guest that has suspended itself to memory. */
export const wakeDomain = (libvirt: Libvirt, uuid: string) => order(libvirt, uuid, 'virDomainPMWakeup', 0)

/** True when the host starts the domain when it boots. */
export const isAutostart = (libvirt: Libvirt, uuid: string): Promise<boolean> => libvirt.call('isAutostart', { uuid })
/** Sets whether the host starts the domain when it boots. */
export const setAutostart = (libvirt: Libvirt, uuid: string, isOn: boolean) =>
  order(libvirt, uuid, 'virDomainSetAutostart', isOn ? 1 : 0)
/** Gives a stopped domain another name. */
export const renameDomain = (libvirt: Libvirt, uuid: string, name: string) =>
  order(libvirt, uuid, 'virDomainRename', name, 0)

/** The target of a change: the running guest, the definition for the next start, or both. At least one. */
export type Affect = { live?: boolean; config?: boolean }
const affect = ({ live, config }: Affect) => flags([live, 1], [config, 2])

/** @param xml a device element, such as `<disk …>` */
export const attachDevice = (libvirt: Libvirt, uuid: string, xml: string, to: Affect) =>
  order(libvirt, uuid, 'virDomainAttachDeviceFlags', xml, affect(to))
/** From a running guest the device goes when the guest lets go of it: the `device_removed` event tells. */
export const detachDevice = (libvirt: Libvirt, uuid: string, xml: string, from: Affect) =>
  order(libvirt, uuid, 'virDomainDetachDeviceFlags', xml, affect(from))
/** @param force eject a medium although the guest locked it */
export const updateDevice = (libvirt: Libvirt, uuid: string, xml: string, at: Affect & { force?: boolean }) =>
  order(libvirt, uuid, 'virDomainUpdateDeviceFlags', xml, affect(at) + flags([at.force, 4]))

/** @param maximum the most that the domain can have (only of a stopped one), instead of its present amount */
export const setMemory = (libvirt: Libvirt, uuid: string, mib: number, to: Affect & { maximum?: boolean }) =>
  order(libvirt, uuid, 'virDomainSetMemoryFlags', mib * 1024, affect(to) + flags([to.maximum, 4]))
export const setVcpus = (libvirt: Libvirt, uuid: string, count: number, to: Affect & { maximum?: boolean }) =>
  order(libvirt, uuid, 'virDomainSetVcpusFlags', count, affect(to) + flags([to.maximum, 4]))
/** Tells a running guest that its disk has grown, and grows it where QEMU can. @param disk target name or source path */
export const resizeBlock = (libvirt: Libvirt, uuid: string, disk: string, bytes: number) =>
  order(libvirt, uuid, 'virDomainBlockResize', disk, bytes, 1)

/** Runs a QMP command and returns QEMU's whole answer, `{ return: … }`; QMP's errors come as `{ error: … }`. */
export const monitorCommand = async (
  libvirt: Libvirt,
  uuid: string,
  command: { execute: string; arguments?: object },
) => {
  const answer = await libvirt.call(
    'monitorCommand',
    { uuid, command: JSON.stringify(command), flags: 0 },
    { isSlow: true },
  )
  // QMP answers with an object.
  return JSON.parse(answer) as Record<string, unknown>
}

/**
 * Runs a command of the QEMU guest agent and returns its whole answer. ConflictError when no agent runs in the guest.
 * @param seconds how long the agent may take
 */
export const agentCommand = async (
  libvirt: Libvirt,
  uuid: string,
  command: { execute: string; arguments?: object },
  { seconds = 5 } = {},
) => {
  const args = { uuid, command: JSON.stringify(command), seconds }
  // The agent answers with an object.
  return JSON.parse(await libvirt.call('agentCommand', args, { isSlow: true })) as Record<string, unknown>
}
