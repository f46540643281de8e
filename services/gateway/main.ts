import { runProcess } from '#shared/service/start.ts'
import { gatewayService } from './service.ts'

await runProcess(gatewayService)
