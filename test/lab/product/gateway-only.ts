import type { Gateway } from '../../../services/gateway/service.ts'
import type { Config } from '#shared/config/config.ts'
import { peopleService, thingsService } from './things.ts'
import { startHorcrux, type TestHorcrux } from './horcrux.ts'
import { ask as askAt } from '../clients/http.ts'

/** Horcrux with nothing but people, things and these gateways; without limits, unless `config` says some. */
export const startThings = (gateways: readonly Gateway[], config: Partial<Config> = {}): Promise<TestHorcrux> =>
  startHorcrux({
    services: [peopleService, thingsService, ...gateways],
    config: { port: 0, rateLimit: 0, loginLimit: 0, trustedProxies: [], ...config },
  })

type Asked = Parameters<typeof askAt>[2]

/** Requests to a gateway: anonymous, as Ann, and as Ann for a new thing. */
export function asker(gateway: Gateway) {
  const ask = (line: string, options: Asked = {}) => askAt(gateway.url(), line, options)
  const asAnn = (line: string, options: Asked = {}) => ask(line, { token: 'ann-token', ...options })
  const make = async (json: Record<string, unknown>) => (await asAnn('POST /api/things', { json })).body
  return { ask, asAnn, make }
}
