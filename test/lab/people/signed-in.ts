import { contract } from '#shared/contract/contract.ts'
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

/** Whoever asks through the gateway, by some proof of theirs. */
export type Asker = ReturnType<typeof askerAt>

const askerAt = (url: string, headers: Record<string, string>) => ({
  headers,
  ask: (line: string, { headers: more = {}, ...asked }: Asked = {}) =>
    ask(url, line, { ...asked, headers: { ...headers, ...more } }),
})

/** As a virtual machine is: what a gateway has answered of one is kept until it changes. */
const keptThings = contract('things', { ...things.actions, get: { ...things.actions.get, cachedFrom: ['things'] } })

/** Gateway, sign-in and audit as they are, with the resource `things`, and users who may what the test says. */
export async function startSignedIn() {
  const gateway = createGateway([...contracts, keptThings])
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
    /** Who shows only what the test gives. */
    anybody: askerAt(url, {}),
    signIn,
    grant,
    person: async (username: string, ...grants: Grant[]): Promise<Asker> => {
      await root.ask('POST /api/users', { json: { username, password } })
      for (const one of grants) await grant(username, one)
      return signIn(username)
    },
    /** An API key of somebody, with only these rights of theirs. */
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
