import { findings } from '#shared/contracts/vm/findings.ts'
import { implement } from '#shared/service/implement.ts'
import { find } from './find.ts'

export const findingService = implement(findings, {
  list: async () => {
    const { found, unreached } = await find()
    return { data: found.map(({ finding }) => finding), unreached }
  },
})
