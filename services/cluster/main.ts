import { runProcess } from '#shared/start.ts'
import { clusterService } from './service.ts'

await runProcess(clusterService)
