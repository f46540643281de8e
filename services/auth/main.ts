import { runProcess } from '#shared/service/start.ts'
import { authService } from './service.ts'

await runProcess(authService)
