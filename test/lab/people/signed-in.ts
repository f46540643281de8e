import { contracts } from '#shared/contracts/index.ts'
import { auditService } from '../../../services/audit/service.ts'
import { authService } from '../../../services/auth/service.ts'
import { createGateway } from '../../../services/gateway/service.ts'
import { admin } from './auth.ts'
import { things, thingsService } from '../product/things.ts'
import { startHorcrux } from '../product/horcrux.ts'
import { ask } from '../clients/http.ts'

const password = 'Kirschkuchen-12'
type Asked = Parameters<typeof ask>[2]
type Grant = [role: string, path: string, more?: object]

/** A client of the gateway with one credential. */
export type Asker = ReturnType<typeof askerAt>

const askerAt = (url: string, headers: Record<string, string>) => ({
  headers,
  ask: (line: string, { headers: more = {}, ...asked }: Asked = {}) =>
    ask(url, line, { ...asked, headers: { ...headers, ...more } }),
})

/** The real gateway, auth and audit, with the resource `things` and users with the rights that the test gives. */
export async function startSignedIn() {
  const gateway = createGateway([...contracts, things])
  const horcrux = await startHorcrux({
    services: [auditService, authService, thingsService, gateway],
    config: { port: 0, rateLimit: 0, loginLimit: 0, adminPassword: admin.password, trustedProxies: ['127.0.0.0/8'] },
  })
  const url = gateway.url()
  const signIn = async (username: string, secret = password): Promise<Asker> => {
    const { body } = await ask(url, 'POST /api/auth/login', { json: { username, password: secret } })
    return askerAt(url, { authorization: `Bearer ${String(body['token'])}` })
  }
  const root = await signIn(admin.username, admin.password)
  const grant = (username: string, [role, path, more = {}]: Grant) =>
    root.ask('POST /api/permissions', { json: { subject: { kind: 'user', id: username }, role, path, ...more } })
  return {
    horcrux,
    url,
    password,
    root,
    /** A client with the credentials that the test gives. */
    anybody: askerAt(url, {}),
    signIn,
    grant,
    person: async (username: string, ...grants: Grant[]): Promise<Asker> => {
      await root.ask('POST /api/users', { json: { username, password } })
      for (const one of grants) await grant(username, one)
      return signIn(username)
    },
    /** An API key of a user, restricted to these grants. */
    keyOf: async (owner: Asker, username: string, grants: object[]) => {
      const json = { name: 'restricted', grants }
      const { body } = await owner.ask(`POST /api/users/${username}/api-keys`, { json })
      return { ...askerAt(url, { 'x-api-key': String(body['key']) }), id: String(body['id']) }
    },
    /** The records of one request, or of a kind. */
    onRecord: async (query: string) =>
      (await root.ask(`GET /api/audit/events?limit=1000&${query}`)).body['data'] as Record<string, unknown>[],
    stop: horcrux.stop,
  }
}
export type SignedIn = Awaited<ReturnType<typeof startSignedIn>>
