/** Operations of a call thread for migrations; see calls.ts. */
import { lastFailure, type Library, type Pointer } from './ffi.ts'
import { done, given, LibvirtFailure, withDomain } from './results.ts'

export type MigrationCall = {
  uuid: string
  /** A connection to the target's libvirt that no other call uses meanwhile. */
  target: Pointer
  /** virDomainMigrateFlags. */
  flags: number
  /** VIR_MIGRATE_PARAM_…: name and value; a name may come several times. */
  texts: readonly (readonly [string, string])[]
  numbers: readonly (readonly [string, number])[]
}

/** virErrorNumber of a processor that lacks features; its text names them. */
const cpuIncompatible = 91
const failIncompatible = 1

/** Makes a list of typed parameters in libvirt's memory, for as long as `use` takes. */
function withParameters<T>(
  library: Library,
  { texts, numbers }: Pick<MigrationCall, 'texts' | 'numbers'>,
  use: (list: Pointer | null, count: number) => T,
): T {
  const [list, count, most]: [[Pointer | null], [number], [number]] = [[null], [0], [0]]
  try {
    for (const [name, value] of texts) done(library, library.virTypedParamsAddString(list, count, most, name, value))
    for (const [name, value] of numbers) done(library, library.virTypedParamsAddULLong(list, count, most, name, value))
    return use(list[0], count[0])
  } finally {
    if (list[0] !== null) library.virTypedParamsFree(list[0], count[0])
  }
}

export const migrationOperations = {
  /** Moves a domain to another host, driven by this thread (managed direct migration). Takes as long as the move. */
  migrate(library: Library, conn: Pointer, { uuid, target, flags, ...parameters }: MigrationCall) {
    withDomain(library, conn, uuid, (domain) =>
      withParameters(library, parameters, (list, count) =>
        library.virDomainFree(given(library, library.virDomainMigrate3(domain, target, list, count, flags))),
      ),
    )
  },

  /** @returns libvirt's words about the features of a `<cpu>` that a host cannot give; null when it has all */
  missingCpuFeatures(
    library: Library,
    conn: Pointer,
    words: Record<'emulator' | 'arch' | 'machine' | 'virtType', string | null> & { cpu: string },
  ): string | null {
    const { emulator, arch, machine, virtType, cpu } = words
    const found = library.virConnectCompareHypervisorCPU(conn, emulator, arch, machine, virtType, cpu, failIncompatible)
    if (found > 0) return null
    if (found === 0) return 'the processor is another one'
    const failure = lastFailure(library)
    if (failure.code === cpuIncompatible) return failure.message
    throw new LibvirtFailure(failure)
  },
}
