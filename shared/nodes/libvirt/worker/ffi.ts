/**
 * The C functions of libvirt that Horcrux uses, callable on the calling thread. libvirt keeps the last error per
 * thread, so a caller of one of these reads `lastFailure` on the same thread before anything else.
 */
import koffi from 'koffi'

/** The address of something libvirt owns. It is valid in every thread of this process. */
export type Pointer = bigint

/** Argument and result kinds: the C type, and the JavaScript type. */
type Kinds = {
  int: number
  uint: number
  ulong: number | bigint
  pointer: Pointer | null
  text: string | null
  texts: string[]
  /** Result only: a string that libvirt allocated; koffi copies it and frees the original. */
  ownedText: string | null
  /** Output: an array of one element, filled in. */
  outPointer: [Pointer | null]
  outInt: [number]
  outUlong: [number | bigint]
  /** Arrays of one element that are read and filled in. */
  inOutPointer: [Pointer | null]
  inOutInt: [number]
  bytes: Uint8Array
}

const cTypes: Record<keyof Kinds, string> = {
  int: 'int',
  uint: 'uint',
  ulong: 'ulong',
  pointer: 'void *',
  text: 'const char *',
  texts: 'const char **',
  ownedText: 'str!',
  outPointer: '_Out_ void **',
  outInt: '_Out_ int *',
  outUlong: '_Out_ ulong *',
  inOutPointer: '_Inout_ void **',
  inOutInt: '_Inout_ int *',
  bytes: '_Inout_ uint8_t *',
}

type Source = 'libvirt.so.0' | 'libvirt-qemu.so.0' | 'libc.so.6'
type Signature = { source: Source; result: keyof Kinds; parameters: (keyof Kinds)[] }

const from =
  (source: Source) =>
  <R extends keyof Kinds, const P extends (keyof Kinds)[]>(result: R, ...parameters: P) => ({
    source,
    result,
    parameters,
  })
const virt = from('libvirt.so.0')
const qemu = from('libvirt-qemu.so.0')
const libc = from('libc.so.6')

const signatures = {
  virInitialize: virt('int'),
  virSetErrorFunc: virt('int', 'pointer', 'pointer'),
  virGetLastError: virt('pointer'),
  virEventRegisterDefaultImpl: virt('int'),
  virEventRunDefaultImpl: virt('int'),
  virEventAddTimeout: virt('int', 'int', 'pointer', 'pointer', 'pointer'),
  virEventUpdateTimeout: virt('int', 'int', 'int'),

  virConnectOpen: virt('pointer', 'text'),
  virConnectClose: virt('int', 'pointer'),
  virConnectIsAlive: virt('int', 'pointer'),
  virConnectSetKeepAlive: virt('int', 'pointer', 'int', 'uint'),
  virConnectDomainEventRegisterAny: virt('int', 'pointer', 'pointer', 'int', 'pointer', 'pointer', 'pointer'),
  virConnectDomainEventDeregisterAny: virt('int', 'pointer', 'int'),
  virConnectGetVersion: virt('int', 'pointer', 'outUlong'),
  virConnectGetLibVersion: virt('int', 'pointer', 'outUlong'),
  virConnectGetHostname: virt('ownedText', 'pointer'),
  virConnectGetCapabilities: virt('ownedText', 'pointer'),
  virConnectGetDomainCapabilities: virt('ownedText', 'pointer', 'text', 'text', 'text', 'text', 'uint'),
  virConnectBaselineHypervisorCPU: virt(
    'ownedText',
    'pointer',
    'text',
    'text',
    'text',
    'text',
    'texts',
    'uint',
    'uint',
  ),
  virNodeGetInfo: virt('int', 'pointer', 'bytes'),
  virNodeGetFreeMemory: virt('ulong', 'pointer'),

  virConnectListAllDomains: virt('int', 'pointer', 'outPointer', 'uint'),
  virConnectGetAllDomainStats: virt('int', 'pointer', 'uint', 'outPointer', 'uint'),
  virDomainListGetStats: virt('int', 'bytes', 'uint', 'outPointer', 'uint'),
  virDomainStatsRecordListFree: virt('int', 'pointer'),

  virNetworkLookupByName: virt('pointer', 'pointer', 'text'),
  virNetworkIsActive: virt('int', 'pointer'),
  virNetworkFree: virt('int', 'pointer'),

  virSecretDefineXML: virt('pointer', 'pointer', 'text', 'uint'),
  virSecretSetValue: virt('int', 'pointer', 'bytes', 'ulong', 'uint'),
  virSecretFree: virt('int', 'pointer'),

  virDomainLookupByUUIDString: virt('pointer', 'pointer', 'text'),
  virDomainLookupByName: virt('pointer', 'pointer', 'text'),
  virDomainDefineXMLFlags: virt('pointer', 'pointer', 'text', 'uint'),
  virDomainFree: virt('int', 'pointer'),
  virDomainGetName: virt('text', 'pointer'),
  virDomainGetID: virt('int', 'pointer'),
  virDomainGetUUIDString: virt('int', 'pointer', 'bytes'),
  virDomainGetState: virt('int', 'pointer', 'outInt', 'outInt', 'uint'),
  virDomainGetXMLDesc: virt('ownedText', 'pointer', 'uint'),
  virDomainUndefineFlags: virt('int', 'pointer', 'uint'),
  virDomainHasManagedSaveImage: virt('int', 'pointer', 'uint'),
  virDomainSnapshotNum: virt('int', 'pointer', 'uint'),
  virDomainListAllCheckpoints: virt('int', 'pointer', 'pointer', 'uint'),
  virDomainCreateWithFlags: virt('int', 'pointer', 'uint'),
  virDomainDestroyFlags: virt('int', 'pointer', 'uint'),
  virDomainShutdownFlags: virt('int', 'pointer', 'uint'),
  virDomainReboot: virt('int', 'pointer', 'uint'),
  virDomainReset: virt('int', 'pointer', 'uint'),
  virDomainSuspend: virt('int', 'pointer'),
  virDomainResume: virt('int', 'pointer'),
  virDomainPMWakeup: virt('int', 'pointer', 'uint'),
  virDomainAttachDeviceFlags: virt('int', 'pointer', 'text', 'uint'),
  virDomainDetachDeviceFlags: virt('int', 'pointer', 'text', 'uint'),
  virDomainUpdateDeviceFlags: virt('int', 'pointer', 'text', 'uint'),
  virDomainSetMemoryFlags: virt('int', 'pointer', 'ulong', 'uint'),
  virDomainSetVcpusFlags: virt('int', 'pointer', 'uint', 'uint'),
  virDomainBlockResize: virt('int', 'pointer', 'text', 'ulong', 'uint'),
  virDomainGetAutostart: virt('int', 'pointer', 'outInt'),
  virDomainSetAutostart: virt('int', 'pointer', 'int'),
  virDomainRename: virt('int', 'pointer', 'text', 'uint'),
  virDomainSnapshotCreateXML: virt('pointer', 'pointer', 'text', 'uint'),
  virDomainSnapshotFree: virt('int', 'pointer'),
  virDomainSaveImageGetXMLDesc: virt('ownedText', 'pointer', 'text', 'uint'),
  virDomainRestoreFlags: virt('int', 'pointer', 'text', 'text', 'uint'),
  virDomainBlockCommit: virt('int', 'pointer', 'text', 'text', 'text', 'ulong', 'uint'),
  virDomainBlockJobAbort: virt('int', 'pointer', 'text', 'uint'),
  virDomainBlockJobSetSpeed: virt('int', 'pointer', 'text', 'ulong', 'uint'),
  virDomainBlockCopy: virt('int', 'pointer', 'text', 'text', 'bytes', 'int', 'uint'),
  virDomainGetBlockJobInfo: virt('int', 'pointer', 'text', 'bytes', 'uint'),
  virDomainBackupBegin: virt('int', 'pointer', 'text', 'text', 'uint'),
  virDomainBackupGetXMLDesc: virt('ownedText', 'pointer', 'uint'),
  virDomainAbortJob: virt('int', 'pointer'),
  virDomainGetJobStats: virt('int', 'pointer', 'outInt', 'outPointer', 'outInt', 'uint'),
  virDomainMigrate3: virt('pointer', 'pointer', 'pointer', 'pointer', 'uint', 'uint'),
  virDomainMigrateSetMaxDowntime: virt('int', 'pointer', 'ulong', 'uint'),
  virDomainMigrateStartPostCopy: virt('int', 'pointer', 'uint'),
  virConnectCompareHypervisorCPU: virt('int', 'pointer', 'text', 'text', 'text', 'text', 'text', 'uint'),
  virTypedParamsAddString: virt('int', 'inOutPointer', 'inOutInt', 'inOutInt', 'text', 'text'),
  virTypedParamsAddULLong: virt('int', 'inOutPointer', 'inOutInt', 'inOutInt', 'text', 'ulong'),
  virTypedParamsFree: virt('int', 'pointer', 'int'),

  virDomainQemuMonitorCommand: qemu('int', 'pointer', 'text', 'outPointer', 'uint'),
  virDomainQemuAgentCommand: qemu('ownedText', 'pointer', 'text', 'int', 'uint'),

  memcpy: libc('pointer', 'bytes', 'pointer', 'ulong'),
  free: libc('int', 'pointer'),
  dup: libc('int', 'int'),
  close: libc('int', 'int'),
  shutdown: libc('int', 'int', 'int'),
  getpeername: libc('int', 'int', 'bytes', 'bytes'),
  _exit: libc('int', 'int'),
} satisfies Record<string, Signature>

type Arguments<P extends (keyof Kinds)[]> = { [I in keyof P]: Kinds[P[I]] }
export type Library = {
  [F in keyof typeof signatures]: (
    ...args: Arguments<(typeof signatures)[F]['parameters']>
  ) => Kinds[(typeof signatures)[F]['result']]
} & {
  /** A C function that is harmless as any callback: for where libvirt wants one and Horcrux does not. */
  nothing: Pointer
}

let loaded: Library | undefined

/** Loads libvirt for this thread. Throws the loader's error when the library is not installed. */
export const loadLibrary = (): Library => {
  if (loaded) return loaded
  const libraries = new Map<Source, ReturnType<typeof koffi.load>>()
  const open = (source: Source) => {
    const library = libraries.get(source) ?? koffi.load(source)
    libraries.set(source, library)
    return library
  }
  const functions = Object.entries<Signature>(signatures).map(([name, { source, result, parameters }]) => [
    name,
    open(source).func(`${cTypes[result]} ${name}(${parameters.map((kind) => cTypes[kind]).join(', ')})`),
  ])
  // The signatures' table is what gave both the prototypes and the type.
  const library = { ...Object.fromEntries(functions), nothing: open('libc.so.6').symbol('getpid') } as Library
  library.virInitialize()
  // libvirt prints every error on stderr unless it has another place for it. One for the whole process; a JavaScript
  // callback would not do, because it is called in the thread that fails.
  library.virSetErrorFunc(null, library.nothing)
  loaded = library
  return library
}

const errorFields = koffi.struct({ code: 'int', domain: 'int', message: 'const char *' })

/** A virError: its number, the part of libvirt it comes from, its text. */
export type Failure = { code: number; domain: number; message: string }

/** The error of the last libvirt function of this thread. */
export const lastFailure = (library: Library): Failure => {
  const address = library.virGetLastError()
  if (address === null) return { code: 1, domain: 0, message: 'libvirt gave no reason' }
  // The struct above says what decode yields.
  const { code, domain, message } = koffi.decode(address, errorFields) as Failure
  return { code, domain, message: message ?? 'libvirt gave no reason' }
}

/** Reads a NUL-terminated string at an address. */
export const readText = (address: Pointer): string => koffi.decode.string(address)

/** Reads `count` pointers at an address. */
export const readPointers = (library: Library, address: Pointer, count: number): Pointer[] => {
  const bytes = Buffer.allocUnsafe(count * 8)
  if (count > 0) library.memcpy(bytes, address, bytes.length)
  return Array.from({ length: count }, (_, index) => bytes.readBigUInt64LE(index * 8))
}
