import type { Service } from '#shared/start.ts'
import { cloudinitService } from './cloudinit/service.ts'
import { cloneJobService } from './clone-jobs.ts'
import { deviceService } from './devices/service.ts'
import { guestService } from './guests/service.ts'
import { sweepFreezes } from './guests/freeze.ts'
import { presetService } from './presets.ts'
import { templateService } from './templates.ts'
import { consoleService } from './consoles/consoles.ts'
import { sweepConsoles } from './consoles/sweep.ts'
import { vmService as vms } from './vms.ts'
import { watchNodes } from './watch.ts'

export const vmService: Service = {
  name: 'vm',
  serves: [
    vms,
    deviceService,
    guestService,
    cloudinitService,
    templateService,
    cloneJobService,
    presetService,
    consoleService,
  ],
  start: async () => {
    const ends = [watchNodes(), sweepConsoles(), sweepFreezes()]
    return () => {
      for (const end of ends) end()
    }
  },
}
