import { runProcess } from '#shared/service/start.ts'
import { storageService } from './service.ts'

await runProcess(storageService)
