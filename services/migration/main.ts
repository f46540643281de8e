import { runProcess } from '#shared/service/start.ts'
import { migrationService } from './service.ts'

await runProcess(migrationService)
