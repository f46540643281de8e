import type { Service } from '#shared/service/start.ts'
import { auditService } from '../services/audit/service.ts'
import { authService } from '../services/auth/service.ts'
import { clusterService } from '../services/cluster/service.ts'
import { containerService } from '../services/container/service.ts'
import { gatewayService } from '../services/gateway/service.ts'
import { migrationService } from '../services/migration/service.ts'
import { metricsService } from '../services/metrics/service.ts'
import { storageService } from '../services/storage/service.ts'
import { vmService } from '../services/vm/service.ts'

/** All services in start order: services come before those that need them, the gateway last. */
export const services: readonly Service[] = [
  auditService,
  authService,
  clusterService,
  storageService,
  vmService,
  containerService,
  migrationService,
  metricsService,
  gatewayService,
]
