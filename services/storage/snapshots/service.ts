import { volumeSnapshots } from '#shared/contracts/storage/volume-snapshots.ts'
import { implement } from '#shared/service/implement.ts'
import { foreseeDeletion, purge, remove, usage } from './remove.ts'
import { foreseeClone } from './foresee-clone.ts'
import { discard, open, swap } from './restore.ts'
import { drop, foresee, heads, settle, take } from './take.ts'

export const volumeSnapshotService = implement(volumeSnapshots, {
  foresee,
  take,
  heads,
  settle,
  drop,
  open,
  swap,
  discard,
  foreseeClone,
  foreseeDeletion,
  remove,
  usage,
  purge,
})
