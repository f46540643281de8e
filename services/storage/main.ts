import { runProcess } from '#shared/start.ts'
import { storageService } from './service.ts'

await runProcess(storageService)
