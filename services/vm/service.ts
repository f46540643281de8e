import type { Service } from '#shared/start.ts'
import { consoleService } from './consoles/consoles.ts'
import { sweepConsoles } from './consoles/sweep.ts'
import { vmService as vms } from './vms.ts'
import { watchNodes } from './watch.ts'

export const vmService: Service = {
  name: 'vm',
  serves: [vms, consoleService],
  start: async () => {
    const ends = [watchNodes(), sweepConsoles()]
    return () => {
      for (const end of ends) end()
    }
  },
}
