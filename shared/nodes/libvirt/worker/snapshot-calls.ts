import type { Library, Pointer } from './ffi.ts'
import { done, given, withDomain } from './results.ts'

/** Operations of a call thread for snapshots and the jobs on disks. */
export const snapshotOperations = {
  createSnapshot(
    library: Library,
    conn: Pointer,
    { uuid, xml, flags }: { uuid: string; xml: string; flags: number },
  ): void {
    withDomain(library, conn, uuid, (domain) => {
      const snapshot = given(library, library.virDomainSnapshotCreateXML(domain, xml, flags))
      library.virDomainSnapshotFree(snapshot)
    })
  },

  savedXml(library: Library, conn: Pointer, { path, flags }: { path: string; flags: number }): string {
    return given(library, library.virDomainSaveImageGetXMLDesc(conn, path, flags))
  },

  restoreSaved(
    library: Library,
    conn: Pointer,
    { path, xml, flags }: { path: string; xml: string; flags: number },
  ): void {
    done(library, library.virDomainRestoreFlags(conn, path, xml, flags))
  },

  /** The bytes of virDomainBlockJobInfo; null when the disk has no job. */
  blockJob(library: Library, conn: Pointer, { uuid, disk }: { uuid: string; disk: string }): Uint8Array | null {
    const bytes = new Uint8Array(32)
    const found = withDomain(library, conn, uuid, (domain) =>
      done(library, library.virDomainGetBlockJobInfo(domain, disk, bytes, 0)),
    )
    return found === 0 ? null : bytes
  },
}
