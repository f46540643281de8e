import { containerArchives } from '#shared/contracts/container/container-archives.ts'
import { implement } from '#shared/service/implement.ts'
import { build } from './build.ts'
import { describe, list, open } from './describe.ts'
import { planNew } from './plan-new.ts'
import { foreseeSame, replace } from './replace.ts'

export const containerArchiveService = implement(containerArchives, {
  describe,
  open,
  list,
  foreseeNew: async (given) => (await planNew(given)).foreseen,
  foreseeSame,
  build,
  replace,
})
