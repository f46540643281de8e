import { runProcess } from '#shared/start.ts'
import { vmService } from './service.ts'

await runProcess(vmService)
