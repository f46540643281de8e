import { services } from '../../../bin/services.ts'
import { gatewayService } from '../../../services/gateway/service.ts'
import type { Config } from '#shared/config/config.ts'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { startHorcrux, type TestHorcrux } from './horcrux.ts'
import type { LabHost } from '../hosts/hosts.ts'
import { ask, type Answered } from '../clients/http.ts'
import { asNode } from '../faults/scenarios.ts'
import { done } from './run-operation.ts'

const password = 'Sonnenblume-7'
type Asked = Parameters<typeof ask>[2]

/** A token is good for 15 minutes: a new one is used after this time. Milliseconds. */
const tokenMs = 10 * 60_000

/** The whole of Horcrux in this process, with lab hosts as its nodes hv1, hv2 …, and a signed-in admin. */
export type Product = {
  horcrux: TestHorcrux
  url: string
  token: string
  /** A request in admin's name. */
  ask: (line: string, asked?: Asked) => Promise<Answered>
  stop: () => Promise<void>
}

export async function startProduct(hosts: LabHost[], config: Partial<Config> = {}): Promise<Product> {
  const horcrux = await startHorcrux({
    services: [...services],
    config: { port: 0, rateLimit: 0, loginLimit: 0, adminPassword: password, ...config },
  })
  try {
    for (const [index, host] of hosts.entries()) await done(horcrux, nodes, 'register', asNode(`hv${index + 1}`, host))
    const url = gatewayService.url()
    const newToken = async () => {
      const { body } = await ask(url, 'POST /api/auth/login', { json: { username: 'admin', password } })
      return { token: String(body['token']), until: Date.now() + tokenMs }
    }
    let current = await newToken()
    const { token } = current
    const askAsAdmin: Product['ask'] = async (line, asked) => {
      if (Date.now() > current.until) current = await newToken()
      return ask(url, line, { token: current.token, ...asked })
    }
    return { horcrux, url, token, ask: askAsAdmin, stop: horcrux.stop }
  } catch (error) {
    await horcrux.stop()
    throw error
  }
}
