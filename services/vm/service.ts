import type { Service } from '#shared/start.ts'
import { vmService as vms } from './vms.ts'
import { watchNodes } from './watch.ts'

export const vmService: Service = {
  name: 'vm',
  serves: [vms],
  start: async () => watchNodes(),
}
