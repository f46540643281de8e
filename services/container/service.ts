import type { Service } from '#shared/service/start.ts'
import { containerActions } from './containers.ts'
import { watchNodes } from './state/watch.ts'

export const containerService: Service = {
  name: 'container',
  serves: [containerActions],
  start: async () => watchNodes(),
}
