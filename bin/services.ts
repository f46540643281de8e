import type { Service } from '#shared/service/start.ts'
import { auditService } from '../services/audit/service.ts'
import { authService } from '../services/auth/service.ts'
import { clusterService } from '../services/cluster/service.ts'
import { gatewayService } from '../services/gateway/service.ts'
import { storageService } from '../services/storage/service.ts'
import { vmService } from '../services/vm/service.ts'

/** All parts of Horcrux, those that others need first at the front; the gateway opens its door last. */
export const services: readonly Service[] = [
  auditService,
  authService,
  clusterService,
  storageService,
  vmService,
  gatewayService,
]
