import { runProcess } from '#shared/service/start.ts'
import { metricsService } from './service.ts'

await runProcess(metricsService)
