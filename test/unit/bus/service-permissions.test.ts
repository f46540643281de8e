import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Caller } from '#shared/access/access.ts'
import { readConfig } from '#shared/config/config.ts'
import { contracts } from '#shared/contracts/index.ts'
import { memberNames, memberOf, maySend, maySpeak, wholeName } from '#shared/bus/identity/service-permissions.ts'
import { genuine } from '#shared/bus/identity/packets.ts'
import { identityOf, nodeIdOf } from '#shared/bus/identity/subjects.ts'
import { services } from '../../../bin/services.ts'

const root = resolve(import.meta.dirname, '../../..')
const textsIn = (folder: string) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => readFileSync(join(root, folder, path), 'utf8'))

const exportedName = (contract: string) => contract.replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
const byExport = new Map(contracts.map((contract) => [exportedName(contract.name), contract]))

/** The actions that a text calls: `call(vms, 'get'`, `op.child(volumes, isNew ? 'createFor' : 'attach'`. */
const callsIn = (text: string) =>
  [...text.matchAll(/\b(?:call|child|children)\(\s*(\w+),\s*([^,()]*)/g)].flatMap(([, name, words]) =>
    [...words!.matchAll(/'(\w+)'/g)].map(([, action]) => `${byExport.get(name!)?.name}.${action}`),
  )

const internal = contracts.flatMap(({ name, actions }) =>
  Object.entries(actions).flatMap(([key, { can }]) => (can === 'service' ? [`${name}.${key}`] : [])),
)

/** Actions that the files of a service call, also by way of shared/nodes/nodes.ts. */
function callsOf(service: string): Set<string> {
  const texts = textsIn(`services/${service}`)
  const ofNodes = texts.flatMap(
    (text) => /import \{([^}]*)\} from '#shared\/nodes\/nodes\.ts'/.exec(text)?.[1]?.match(/\w+/g) ?? [],
  )
  const isServed = (action: string) => memberOf(service).serves.some(({ name }) => action.startsWith(`${name}.`))
  const named = internal.filter((action) => !isServed(action) && texts.some((text) => text.includes(`'${action}'`)))
  return new Set([
    ...texts.flatMap(callsIn),
    ...named,
    ...['reach', 'reachAll'].filter((name) => ofNodes.includes(name)).map((name) => `nodes.${name}`),
    'auth.rights',
  ])
}

describe('the table of services and the actions they serve and call', () => {
  test('has a line for each service, which serves what the service serves', () => {
    expect(memberNames.toSorted()).toEqual(services.map(({ name }) => name).toSorted())
    for (const { name, serves } of services)
      expect(memberOf(name).serves.map((contract) => contract.name)).toEqual([
        ...serves.map((schema) => schema.name),
        'operations',
      ])
  })

  test.each(memberNames)('lets %s call the actions that its code calls, and no others', (name) => {
    expect([...new Set(memberOf(name).calls)].toSorted()).toEqual([...callsOf(name)].toSorted())
  })

  test('knows the files of shared code that call services', () => {
    const calling = textsIn('shared').flatMap(callsIn)
    expect([...new Set(calling)].toSorted()).toEqual([
      'auth.rights',
      'nodes.reach',
      'nodes.reachAll',
      'operations.cancel',
    ])
  })

  test('refuses a service without a line', () => {
    expect(() => memberOf('stranger')).toThrow(/'stranger' has no identity on the bus.*service-permissions\.ts/)
    expect(() => memberOf('toString')).toThrow(/has no identity/)
    expect(maySend('stranger', 'vms.get')).toBe(false)
  })
})

describe('permissions to publish', () => {
  const alice: Caller = {
    kind: 'user',
    user: 'alice',
    rights: 'x',
    address: '192.0.2.1',
    credential: { by: 'token', id: 't' },
  }
  const service = (name: string): Caller => ({ kind: 'service', name })
  const actionOf = (action: string) =>
    contracts.find(({ name }) => name === action.split('.')[0])!.actions[action.split('.')[1]!]!

  test.each([
    ['gateway', 'vms.start', alice, true],
    ['gateway', 'auth.login', { kind: 'anonymous', address: '192.0.2.1' } satisfies Caller, true],
    ['gateway', 'auth.identify', service('gateway'), true],
    ['gateway', 'vms.start', service('gateway'), false],
    ['gateway', 'vms.start', service('vms'), false],
    ['gateway', 'auth.identify', service('vms'), false],
    ['gateway', 'nodes.reach', alice, false],
    ['vm', 'volumes-internal.createFor', service('vms'), true],
    ['vm', 'auth.rights', service('operations'), true],
    ['vm', 'volumes-internal.createFor', service('storage'), false],
    ['vm', 'volumes-internal.createFor', alice, false],
    ['vm', 'volumes.delete', service('vms'), false],
    ['vm', 'pools.get', alice, false],
    [wholeName, 'volumes.delete', service('test'), true],
    ['stranger', 'auth.rights', service('stranger'), false],
  ])('%s calls %s as %o: %s', (name, action, caller, may) => {
    expect(maySpeak(name, action, actionOf(action), caller)).toBe(may)
  })
})

describe('a packet', () => {
  const nobody = () => undefined
  const sender = 'vm.a-1'

  test.each([
    ['INFO', 'MOL.INFO.vm', { sender }, true],
    ['INFO', 'MOL.INFO.vm', { sender: 'auth.a-1' }, false],
    ['INFO', 'MOL.INFO.vm', { sender: 'vm' }, false],
    ['INFO', 'horcrux.work.vms', { sender }, false],
    ['REQ', 'MOL.REQ.vm.storage.b-1.volumes.get', { sender, action: 'volumes.get' }, true],
    ['REQ', 'MOL.REQ.vm.storage.b-1.volumes.get', { sender, action: 'volumes.delete' }, false],
    ['REQ', 'MOL.REQ.vm.storage.b-1.volumes.get', { sender: 'gateway.a-1', action: 'volumes.get' }, false],
    ['REQ', 'MOL.INFO.vm', { sender, action: 'volumes.get' }, false],
  ])('%s on %s that says %o: %s', (type, subject, payload, is) => {
    expect(genuine(type, subject, payload, nobody)).toBe(is)
  })

  test('an answer comes from the service that was asked', () => {
    const answer = { sender, id: '7' }
    expect(genuine('RES', 'MOL.RES.vm.gateway.b-1', answer, () => sender)).toBe(true)
    expect(genuine('RES', 'MOL.RES.vm.gateway.b-1', answer, () => 'auth.a-1')).toBe(false)
    expect(genuine('RES', 'MOL.RES.vm.gateway.b-1', answer, nobody)).toBe(true)
  })

  test('announces only actions that its sender serves', () => {
    const payload = {
      sender,
      services: [
        { name: 'vms', actions: { 'vms.get': { name: 'vms.get' } } },
        { name: 'auth', actions: { 'auth.login': { name: 'auth.login' } } },
        { name: 'vms', actions: { 'vms.get': { name: 'auth.login' } } },
      ],
    }
    expect(genuine('INFO', 'MOL.INFO.vm', payload, nobody)).toBe(true)
    expect(payload.services).toHaveLength(1)
    expect(payload.services[0]!.actions).toEqual({ 'vms.get': { name: 'vms.get' } })
  })
})

test('a host name with dots makes a node id with one', () => {
  const id = nodeIdOf('vm', 'node1.example.org-7-a0*>')
  expect(id).toBe('vm.node1-example-org-7-a0--')
  expect(identityOf(id)).toBe('vm')
})

test('mistakes in the bus settings are reported together, without the secrets', () => {
  const env = {
    NATS_URL: 'nats://user:hunter2@127.0.0.1:4222,not an address',
    NATS_NKEY: 'SUhunter2',
    HORCRUX_PORT: 'x',
  }
  const said = (() => {
    try {
      return JSON.stringify(readConfig(env))
    } catch (error) {
      return (error as Error).message
    }
  })()
  expect(said).toMatch(/4 mistake/)
  expect(said).toContain('NATS_URL: must be an address')
  expect(said).toContain('give one of them')
  expect(said).toContain('NATS_NKEY: must be the secret')
  expect(said).not.toContain('hunter2')
})
