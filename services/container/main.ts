import { runProcess } from '#shared/service/start.ts'
import { containerService } from './service.ts'

await runProcess(containerService)
