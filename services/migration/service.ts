import type { Service } from '#shared/service/start.ts'
import { sweepMovesBack } from './health/move-back.ts'
import { migrationActions } from './migrations.ts'

export const migrationService: Service = {
  name: 'migration',
  serves: [migrationActions],
  start: async () => sweepMovesBack(),
}
