import type { Service } from '#shared/start.ts'
import { poolService } from './pools.ts'
import { volumeService } from './volumes.ts'

export const storageService: Service = { name: 'storage', serves: [poolService, volumeService] }
