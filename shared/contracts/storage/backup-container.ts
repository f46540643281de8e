import { Type } from 'typebox'
import { strict } from '#shared/contracts/common.ts'
import { LeftOut, SavedContainer, SavedPlace } from '#shared/contracts/container/saved-container.ts'

const Bytes = Type.Integer({ minimum: 0 })

/** The content of a backup of a container. */
export const BackupContainer = strict({
  runtime: SavedContainer.properties.runtime,
  image: SavedContainer.properties.image,
  status: SavedContainer.properties.status,
  paused: Type.Boolean({ description: 'Its processes were frozen while its files were read' }),
  env_saved: Type.Boolean({
    description:
      'The values of its own variables are in the backup; in a store that is not encrypted, only their names are',
  }),
  archives: Type.Array(
    strict({ ...SavedPlace.properties, size_bytes: Bytes, entries: Type.Integer(), digest: Type.String() }),
    { description: 'Its root file system and its volumes, each as a tar archive' },
  ),
  left_out: Type.Array(LeftOut, { description: 'Folders whose content the backup does not have' }),
})
