import { runProcess } from '#shared/service/start.ts'
import { auditService } from './service.ts'

await runProcess(auditService)
