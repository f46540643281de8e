import type { Service } from '#shared/service/start.ts'
import { vmAdoptionService } from './adoption/adopt-many.ts'
import { vmBulkService } from './bulk.ts'
import { vmBackupService } from './backups/service.ts'
import { cloudinitService } from './cloudinit/service.ts'
import { cloneJobService } from './clone/clone-jobs.ts'
import { deviceService } from './hardware/devices/service.ts'
import { fencingService } from './fencing/service.ts'
import { watchGuards } from './fencing/watch.ts'
import { findingService } from './findings/service.ts'
import { sweepLeftovers } from './findings/sweep.ts'
import { guestService } from './guest-agent/service.ts'
import { sweepFreezes } from './guest-agent/freeze.ts'
import { vmImportService } from './imports/import.ts'
import { proxmoxImportService } from './imports/proxmox/service.ts'
import { moveService } from './relocation/service.ts'
import { presetService } from './clone/presets.ts'
import { templateService } from './lifecycle/templates.ts'
import { consoleService } from './consoles/consoles.ts'
import { sweepConsoles } from './consoles/sweep.ts'
import { sweepPauses } from './snapshots/pause.ts'
import { scheduleService } from './schedules/service.ts'
import { judgeQuotas } from './quotas/judge.ts'
import { quotaService } from './quotas/service.ts'
import { sweepRules } from './schedules/removal.ts'
import { runSchedules } from './schedules/ticks.ts'
import { snapshotService } from './snapshots/service.ts'
import { vmService as vms } from './vms.ts'
import { inventoryService } from './state/inventory.ts'
import { watchNodes } from './state/watch.ts'

export const vmService: Service = {
  name: 'vm',
  serves: [
    vms,
    vmBulkService,
    vmAdoptionService,
    vmImportService,
    proxmoxImportService,
    vmBackupService,
    deviceService,
    guestService,
    cloudinitService,
    templateService,
    cloneJobService,
    presetService,
    consoleService,
    moveService,
    fencingService,
    findingService,
    inventoryService,
    snapshotService,
    scheduleService,
    quotaService,
  ],
  start: async () => {
    const ends = [
      watchNodes(),
      watchGuards(),
      sweepConsoles(),
      sweepFreezes(),
      sweepLeftovers(),
      sweepPauses(),
      runSchedules(),
      judgeQuotas(),
      sweepRules(),
    ]
    return () => {
      for (const end of ends) end()
    }
  },
}
