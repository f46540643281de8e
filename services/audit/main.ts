import { runProcess } from '#shared/start.ts'
import { auditService } from './service.ts'

await runProcess(auditService)
