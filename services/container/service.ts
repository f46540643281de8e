import type { Service } from '#shared/service/start.ts'
import { containerActions } from './containers.ts'
import { networkService } from './networks/actions.ts'
import { watchNetworks } from './networks/watch.ts'
import { policyService } from './policies/actions.ts'
import { watchPolicies } from './policies/watch.ts'
import { watchNodes } from './state/watch.ts'

export const containerService: Service = {
  name: 'container',
  serves: [containerActions, networkService, policyService],
  start: async () => {
    const ends = [watchNodes(), watchNetworks(), watchPolicies()]
    return () => {
      for (const end of ends) end()
    }
  },
}
