import { contract } from '#shared/contract/contract.ts'
import { nullable, strict, Time } from '#shared/contracts/common.ts'

/** Things that other services ask a gateway; any one of them answers. */
export const gateways = contract('gateways', {
  certificate: {
    does: 'Tell when the TLS certificate of a gateway ends',
    can: 'service',
    callers: ['metrics'],
    params: strict({}),
    result: strict({ ends_at: nullable(Time) }),
  },
})
