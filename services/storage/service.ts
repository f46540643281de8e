import type { Service } from '#shared/service/start.ts'
import { applianceService } from './appliances/service.ts'
import { backupArchiveService, containerBackupService } from './backups/containers/service.ts'
import { backupJobService } from './backups/jobs/service.ts'
import { backupStoreKeyService } from './backups/keys/service.ts'
import { collectRegularly } from './backups/jobs/collect-due.ts'
import { proveRegularly } from './backups/jobs/prove-due.ts'
import { runJobs } from './backups/jobs/ticks.ts'
import { sweepSnapshotsRegularly } from './backups/save/snapshot.ts'
import { backupService } from './backups/service.ts'
import { backupStoreService } from './backups/stores.ts'
import { volumeDownloadService } from './downloads/downloads.ts'
import { closeAllFiles } from './downloads/open-files.ts'
import { backupFileService, endFilesRegularly } from './files/service.ts'
import { poolService } from './pools/pools.ts'
import { watchUsage } from './pools/samples.ts'
import { sweepObjectsRegularly } from './pools/sweep-objects.ts'
import { runReplications } from './replication/jobs/ticks.ts'
import { replicationJobService } from './replication/jobs/service.ts'
import { replicaService } from './replication/service.ts'
import { sweepReplicationRegularly } from './replication/transfer/end.ts'
import { volumeSnapshotService } from './snapshots/service.ts'
import { sweepRegularly, uploadService } from './uploads/uploads.ts'
import { volumeInternalService } from './volumes/internal.ts'
import { sweepDeletedRegularly } from './volumes/sweep.ts'
import { volumeService } from './volumes/volumes.ts'

export const storageService: Service = {
  name: 'storage',
  serves: [
    poolService,
    volumeService,
    volumeInternalService,
    volumeSnapshotService,
    uploadService,
    applianceService,
    volumeDownloadService,
    backupService,
    backupFileService,
    backupArchiveService,
    containerBackupService,
    backupStoreService,
    backupStoreKeyService,
    backupJobService,
    replicationJobService,
    replicaService,
  ],
  start: () => {
    const snapshots = [sweepSnapshotsRegularly(), sweepReplicationRegularly()]
    const sweeps = [sweepRegularly(), sweepObjectsRegularly(), sweepDeletedRegularly(), ...snapshots]
    const stops = [watchUsage(), ...sweeps, runJobs(), runReplications(), proveRegularly(), collectRegularly()]
    const endFiles = endFilesRegularly()
    return Promise.resolve(async () => {
      for (const stop of stops) stop()
      await Promise.all([closeAllFiles(), endFiles()])
    })
  },
}
