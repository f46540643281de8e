import { runProcess } from '#shared/start.ts'
import { authService } from './service.ts'

await runProcess(authService)
