import { runProcess } from '#shared/start.ts'
import { gatewayService } from './service.ts'

await runProcess(gatewayService)
