import { runProcess } from '#shared/service/start.ts'
import { clusterService } from './service.ts'

await runProcess(clusterService)
