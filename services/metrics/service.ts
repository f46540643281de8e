import type { Service } from '#shared/service/start.ts'
import { startAlerts } from './alerts/run.ts'
import { alertService } from './alerts/service.ts'
import { followFleet } from './collect/fleet.ts'
import { createLeases } from './collect/leases.ts'
import { exposeFleet } from './exposition/serve.ts'
import { startSampler } from './collect/sampler.ts'
import { monitoringService, useFleet } from './monitoring.ts'

export const metricsService: Service = {
  name: 'metrics',
  serves: [monitoringService, alertService],
  start: async () => {
    const fleet = followFleet()
    const leases = createLeases()
    useFleet(fleet)
    const hide = exposeFleet(fleet)
    const stopSampler = startSampler(fleet, leases)
    const stopAlerts = startAlerts(fleet, leases)
    return async () => {
      hide()
      fleet.stop()
      await stopAlerts()
      await stopSampler()
      await leases.releaseAll()
    }
  },
}
