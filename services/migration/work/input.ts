import type { HttpCheck } from '#shared/contracts/migration/health.ts'
import type { MigrationType, PostCopy } from '#shared/contracts/migration/migrations.ts'
import type { TargetDisk } from '#shared/contracts/vm/moves.ts'

/** A migration as it was accepted. */
export type Input = {
  vm_id: string
  vm_name: string
  source_node: string
  target_node: string
  migration_type: MigrationType
  bandwidth_limit: number
  auto_converge: boolean
  post_copy: PostCopy
  shutdown_timeout: number
  auto_rollback: boolean
  reason: string | null
  http_checks: HttpCheck[]
  disks: TargetDisk[]
  /** Sizes of the disks that are copied: QEMU's bandwidth limit counts zeros too. */
  disk_bytes: number
}
