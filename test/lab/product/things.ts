import { Type } from 'typebox'
import type { ServiceSchema } from 'moleculer'
import type { Right } from '#shared/access/access.ts'
import { compileRights } from '#shared/access/access.ts'
import { bus } from '#shared/bus/bus.ts'
import { contract } from '#shared/contract/contract.ts'
import { ById, Done, Id, SearchQuery, Name, Page, strict, Time, Version } from '#shared/contracts/common.ts'
import { collection } from '#shared/db/collection.ts'
import { AuthenticationError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import { operation } from '#shared/operation/kinds.ts'
import { implement } from '#shared/service/implement.ts'
import type { Service } from '#shared/service/start.ts'

/** A resource that is there for the gateway's tests: it does everything that any resource may do, and nothing more. */
export const Thing = strict({
  id: Id,
  name: Name,
  size: Type.Integer({ minimum: 1, maximum: 100, multipleOf: 2 }),
  created_at: Time,
  version: Version,
})

export const things = contract('things', {
  list: {
    does: 'List things',
    rest: 'GET /things',
    can: 'signed-in',
    itemAccess: 'VmAudit on /api/things/{id}',
    params: SearchQuery(Thing, ['name', 'size']),
    result: Page(Thing),
  },
  get: {
    does: 'Get a thing',
    rest: 'GET /things/{id}',
    can: 'VmAudit on /api/things/{id}',
    params: ById,
    result: Thing,
  },
  create: {
    does: 'Make a thing',
    rest: 'POST /things',
    can: 'VmAllocate on /api/things/{id}',
    audit: 'config_changed',
    params: strict({
      id: Type.Optional(Id),
      name: Name,
      size: Thing.properties.size,
      color: Type.Optional(Type.Enum(['red', 'blue'])),
    }),
    result: Thing,
    status: 201,
  },
  update: {
    does: 'Change a thing',
    rest: 'PATCH /things/{id}',
    can: 'VmConfig on /api/things/{id}',
    audit: 'config_changed',
    params: strict({ id: Id, size: Thing.properties.size }),
    result: Thing,
  },
  remove: {
    does: 'Delete a thing',
    rest: 'DELETE /things/{id}',
    can: 'VmAllocate on /api/things/{id}',
    audit: 'config_changed',
    params: strict({ id: Id, force: Type.Optional(Type.Boolean()) }),
    result: Done,
  },
  grow: {
    does: 'Let a thing grow',
    rest: 'POST /things/{id}/grow',
    can: 'VmPowerMgmt on /api/things/{id}',
    audit: 'config_changed',
    operation: true,
    params: strict({ id: Id, by: Type.Integer() }),
    result: Thing,
  },
  key: {
    does: 'Make a secret key for a thing',
    rest: 'POST /things/{id}/key',
    can: 'VmConfig on /api/things/{id}',
    audit: 'config_changed',
    params: ById,
    result: strict({ key: Type.String() }),
    secret: ['key'],
  },
  breaks: { does: 'Throw what nobody expects', rest: 'GET /breaks', can: 'anyone', params: strict({}), result: Done },
  hello: {
    does: 'Greet whoever comes',
    rest: 'GET /hello',
    can: 'anyone',
    params: strict({}),
    result: strict({ user: Type.String() }),
  },
})

const store = collection('things', Thing, { kind: 'Thing', hasEvents: true })
/** How often some of the handlers ran. */
export const ran = { create: 0, keys: 0 }
/** A promise that `grow` waits for before it continues; tests replace it. */
export const hold: { grow: Promise<void>; create: Promise<void> } = {
  grow: Promise.resolve(),
  create: Promise.resolve(),
}
/** Promises that delay answers about identities and rights; tests replace them. */
export const late: { recheck: Promise<void>; rights: Promise<void> } = {
  recheck: Promise.resolve(),
  rights: Promise.resolve(),
}

const thingService = implement(things, {
  list: (query, { maySee }) => {
    return store.list(query, maySee)
  },
  get: ({ id }) => store.require(id),
  create: async ({ id = newId(), name, size }) => {
    ran.create++
    await hold.create
    return store.insert({ id, name, size, created_at: now() })
  },
  update: ({ id, size }) => store.change(id, () => ({ set: { size } })),
  remove: async ({ id }) => {
    await store.remove(await store.requireForChange(id))
    return null
  },
  grow: operation({
    accept: async ({ id, by }: { id: string; by: number }, { hold }) => {
      await store.require(id)
      await hold(`/api/things/${id}`)
      return { id, by }
    },
    run: async (op, { id, by }) => {
      await op.step('waiting', () => hold.grow)
      return op.step('growing', () => store.change(id, ({ size }) => ({ set: { size: size + by } })))
    },
  }),
  key: async () => {
    ran.keys++
    return { key: `secret-${ran.keys}` }
  },
  breaks: () => Promise.reject(new TypeError('the very inside of it')),
  hello: async (_, { caller }) => ({ user: caller.kind === 'user' ? caller.user : caller.kind }),
})

export const thingsService: Service = { name: 'things', serves: [thingService] }

/** `restricted`: an API key with fewer rights than its user. */
export type Person = { user: string; rights: Right[]; restricted?: true }
const everything: Right[] = [
  {
    path: '/',
    privileges: ['VmAudit', 'VmAllocate', 'VmConfig', 'VmPowerMgmt', 'SysAudit', 'SysModify'],
  },
]

/** The user of each credential, for tests that are not about signing in: `ann` has all rights, `bob` sees only thing `b1`. */
export const people = new Map<string, Person>()
export function resetPeople(): void {
  people.clear()
  people.set('ann-token', { user: 'ann', rights: everything })
  people.set('ann-session', { user: 'ann', rights: everything })
  people.set('hx_ann_key', { user: 'ann', rights: everything })
  people.set('bob-token', { user: 'bob', rights: [{ path: '/api/things/b1', privileges: ['VmAudit'] }] })
}
resetPeople()
export const identified = { count: 0 }

const nameOf = (rights: Right[]) => JSON.stringify(compileRights(rights).rights)

const shown = (credential: string, by: string) => {
  identified.count++
  const person = people.get(credential)
  if (!person) throw new AuthenticationError('The credentials are not valid')
  return {
    user: person.user,
    rights: nameOf(person.rights),
    credential: { by, id: credential, ...(person.restricted && { restricted: true }) },
    expires_at: new Date(Date.now() + 600_000).toISOString(),
    rights_until: null,
  }
}

const identities: ServiceSchema = {
  name: 'auth',
  actions: {
    identify: ({ params }: { params: { by: string; credential: string } }) => shown(params.credential, params.by),
    recheck: async ({ params }: { params: { credential: { by: string; id: string } } }) => {
      const answer = shown(params.credential.id, params.credential.by)
      await late.recheck
      return answer
    },
    rights: async ({ params }: { params: { name: string } }) => {
      await late.rights
      return { rights: JSON.parse(params.name) as Right[], next: null }
    },
  },
}
export const peopleService: Service = { name: 'people', serves: [identities] }

/** Announces to every replica, as the auth service does, that a user's rights changed. */
export async function tellAuthChanged(user?: string): Promise<void> {
  const { nats } = bus()
  nats.publish('horcrux.auth.changed', JSON.stringify({ ...(user !== undefined && { user }) }))
  await nats.flush()
}
