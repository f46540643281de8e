import { runProcess } from '#shared/service/start.ts'
import { vmService } from './service.ts'

await runProcess(vmService)
