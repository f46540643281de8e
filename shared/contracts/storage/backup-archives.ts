import { Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { Id, strict } from '#shared/contracts/common.ts'
import { LeftOut, SavedContainer, SavedPlace } from '#shared/contracts/container/saved-container.ts'

const byContainer = { can: 'service', callers: ['container'] } as const

/** The bytes of backups of containers, for the service that makes containers of them. `backup-files` has the reads. */
export const backupArchives = contract('backup-archives', {
  describe: {
    does: 'Describe the container of a backup, and the parts of its files that the backup has',
    ...byContainer,
    params: strict({ id: Id }),
    result: strict({
      container: SavedContainer,
      places: Type.Array(strict({ ...SavedPlace.properties, size_bytes: Type.Integer() })),
      left_out: Type.Array(LeftOut),
    }),
  },
  open: {
    does: 'Begin to read a part of the files of a backup as a tar archive',
    ...byContainer,
    params: strict({ id: Id, place: SavedPlace.properties.id }),
    result: strict({ download_id: Type.String(), replica: Type.String() }),
  },
})
