import type { Library, Pointer } from './ffi.ts'
import { given } from './results.ts'

type Platform = Record<'emulator' | 'arch' | 'machine' | 'virtType', string | null>

/** Operations of a call thread for the capabilities of guests, and their CPUs. */
export const cpuOperations = {
  domainCapabilities(library: Library, conn: Pointer, { emulator, arch, machine, virtType }: Platform): string {
    return given(library, library.virConnectGetDomainCapabilities(conn, emulator, arch, machine, virtType, 0))
  },

  /** The CPU that all hosts with these CPUs can give, as XML. `flags`: virConnectBaselineCPUFlags. */
  baselineCpu(
    library: Library,
    conn: Pointer,
    { cpus, flags, emulator, arch, machine, virtType }: Platform & { cpus: string[]; flags: number },
  ): string {
    const { length } = cpus
    return given(
      library,
      library.virConnectBaselineHypervisorCPU(conn, emulator, arch, machine, virtType, cpus, length, flags),
    )
  },
}
