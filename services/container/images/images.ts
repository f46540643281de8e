import { Image, images } from '#shared/contracts/container/images.ts'
import { searchedOf } from '#shared/db/list-of.ts'
import { implement } from '#shared/service/implement.ts'
import { listAll, requireImage, visibleTo } from './find.ts'
import { importImage } from './import.ts'
import { pull } from './pull.ts'
import { remove } from './remove.ts'

export const imageService = implement(images, {
  list: async (query, call) => {
    const found = await listAll(visibleTo(call))
    return { ...searchedOf(found.images, query, Image, call.maySee), unanswered: found.unanswered }
  },
  get: async ({ id }, call) => (await requireImage(id, visibleTo(call))).image,
  pull,
  import: importImage,
  delete: remove,
})
