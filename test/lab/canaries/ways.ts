import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { Secret, TOTP } from 'otpauth'
import type { LabHost } from '../hosts/hosts.ts'
import { asNode } from '../faults/scenarios.ts'
import { labEngines } from '../containers/engines.ts'
import { inCompose } from '../containers/idle.ts'
import { sourceOf } from '../containers/source.ts'
import { startCeph } from '../storage/ceph.ts'
import { until } from '../wait.ts'
import type { Canaries } from './canaries.ts'
import type { Recorder } from './recorder.ts'

/** Everything that the requests use; `vm` and `container` run, and `host` is not a node yet. */
export type World = Recorder & {
  canaries: Canaries
  root: string
  setupToken: string
  host: LabHost
  vm: string
  container: string
}
/** A request that succeeds; `state`: the end of its operation, by itself or by a cancel. */
export type Way = {
  params: Record<string, unknown>
  token?: string
  headers?: Record<string, string>
  state?: 'succeeded' | 'failed' | 'cancelled'
  /** Other allowed statuses; with them the request is sent only once. */
  orElse?: number
}

/** Nothing listens there. */
const proxmoxNowhere = { address: '127.0.0.1', port: 9, token_id: 'root@pam!horcrux' }

const newName = (kind: string) => `${kind}-${randomBytes(4).toString('hex')}`

/** A new user who has signed in. */
export async function person({ ask, canaries, root }: World) {
  const username = newName('bird')
  const password = canaries.make(`the password of ${username}`)
  const made = await ask('POST /api/users', { token: root, json: { username, password } })
  if (made.status !== 201) throw new Error(`${username} was not made: ${made.text}`)
  const { body, headers } = await ask('POST /api/auth/login', { json: { username, password } })
  return { username, password, token: String(body['token']), cookie: headers['set-cookie']!.split(';')[0]! }
}

/** A new user who has begun to set up a second factor. */
async function careful(world: World) {
  const someone = await person(world)
  const { body } = await world.ask('POST /api/auth/totp', {
    token: someone.token,
    json: { password: someone.password },
  })
  const totp = new TOTP({ secret: Secret.fromBase32(String(body['secret'])) })
  const code = (steps: number) => {
    const made = totp.generate({ timestamp: Date.now() + steps * 30_000 })
    world.canaries.learn(`a code of ${someone.username}`, made)
    return made
  }
  return { ...someone, code }
}

/** A new user with a second factor. */
async function secured(world: World) {
  const someone = await careful(world)
  const { token, code } = someone
  const { body } = await world.ask('POST /api/auth/totp/confirm', { token, json: { code: code(0) } })
  return { ...someone, recoveryCodes: body['recovery_codes'] as string[] }
}

/** The lines of a private key that are its own. */
export function learnKey(canaries: Canaries, what: string, pem: string): string {
  const lines = pem.split('\n').filter((line) => /^[A-Za-z0-9+/=]{20,}$/.test(line))
  // The first line tells only of which kind the key is.
  for (const line of lines.slice(1)) canaries.learn(what, line)
  return pem
}

/** For every route that takes or gives a secret a request that succeeds. The test fails for a route that is not here. */
export const ways: Record<string, (world: World) => Promise<Way>> = {
  'auth.setup': async ({ canaries, setupToken }) => ({
    params: { token: setupToken, username: 'founder', password: canaries.make("the founder's password") },
  }),
  'auth.login': async (world) => {
    const { username, password, recoveryCodes } = await secured(world)
    return { params: { username, password, totp: recoveryCodes[0]! } }
  },
  'auth.refresh': async (world) => {
    const { cookie } = await person(world)
    return { params: {}, headers: { cookie, 'x-horcrux-request': '1' } }
  },
  'auth.password': async (world) => {
    const { token, username, password } = await person(world)
    const next = world.canaries.make(`the next password of ${username}`)
    return { token, params: { old_password: password, new_password: next } }
  },
  'auth.deviceBegin': async () => ({ params: { name: 'a device' } }),
  'auth.deviceToken': async (world) => {
    const { token } = await person(world)
    const { body } = await world.ask('POST /api/auth/device', { json: { name: 'a device' } })
    const device_code = String(body['device_code'])
    world.canaries.learn('the code of a device', device_code)
    await world.ask('POST /api/auth/device/confirm', { token, json: { user_code: body['user_code'] } })
    return { params: { device_code } }
  },
  'auth.wsTicket': async (world) => ({ token: (await person(world)).token, params: {} }),
  'auth.totp': async (world) => {
    const { token, password } = await person(world)
    return { token, params: { password } }
  },
  'auth.totpConfirm': async (world) => {
    const { token, code } = await careful(world)
    return { token, params: { code: code(0) } }
  },
  'auth.totpRemove': async (world) => {
    const { token, password, code } = await secured(world)
    return { token, params: { password, code: code(1) } }
  },
  'users.create': async ({ root, canaries }) => {
    const username = newName('bird')
    return { token: root, params: { username, password: canaries.make(`the password of ${username}`) } }
  },
  'users.change': async (world) => {
    const { username } = await person(world)
    return { token: world.root, params: { username, password: world.canaries.make(`the set password of ${username}`) } }
  },
  'users.createKey': async (world) => {
    const { token, username } = await person(world)
    return { token, params: { username, name: 'a key' } }
  },
  'nodes.register': async ({ root, canaries, host }) => {
    learnKey(canaries, "the lab's SSH key", host.privateKey)
    return { token: root, params: asNode(newName('node'), host), state: 'succeeded' }
  },
  'nodes.update': async ({ root, host }) => ({ token: root, params: { id: 'home', private_key: host.privateKey } }),
  'cloudinit.set': async ({ root, canaries, vm }) => {
    const plain_password = canaries.make('the password of a guest')
    return { token: root, params: { id: vm, user: { name: 'guest', plain_password } }, state: 'succeeded' }
  },
  'pools.create': async ({ root, canaries }) => {
    const given = await (await startCeph()).newPool()
    canaries.learn('the key of a Ceph client', given.key)
    return { token: root, params: { id: newName('pool'), type: 'ceph', ...given } }
  },
  'alerts.createOutlet': async ({ root, canaries }) => {
    const secret = canaries.make('the secret of a webhook')
    const config = { kind: 'webhook', url: 'http://127.0.0.1:9/alerts', secret }
    return { token: root, params: { name: newName('outlet'), config } }
  },
  'alerts.replaceOutlet': async ({ ask, root, canaries }) => {
    const id = newName('outlet')
    const mail = { kind: 'smtp', host: '127.0.0.1', port: 9, from: 'a@example.org', to: ['b@example.org'], user: 'a' }
    const made = await ask('POST /api/alerts/outlets', { token: root, json: { id, name: id, config: mail } })
    if (made.status !== 201) throw new Error(`${id} was not made: ${made.text}`)
    const password = canaries.make('the password of a mail server')
    return { token: root, params: { id, name: id, config: { ...mail, password } } }
  },
  'container-streams.exec': async ({ root, container }) => ({
    token: root,
    params: { id: container, command: ['sh'] },
  }),
  'container-streams.attach': async ({ root, container }) => ({ token: root, params: { id: container } }),
  'container-streams.logs': async ({ root, container }) => ({ token: root, params: { id: container } }),
  'images.pull': async ({ root, canaries }) => {
    const password = canaries.make('the password of a registry')
    const image = `127.0.0.1:9/${newName('image')}`
    return {
      token: root,
      params: { node: 'local', runtime: 'docker', image, username: 'a', password },
      // Nothing listens there.
      state: 'failed',
    }
  },
  'stacks.create': async (world) => {
    const { name, compose_file } = await project(world)
    return { token: world.root, params: { name, node: 'local', runtime: 'docker', compose_file, watch: 1 } }
  },
  'stacks.update': async (world) => {
    const { id, compose_file } = await stack(world)
    return { token: world.root, params: { id, compose_file, timeout: 1, watch: 1 } }
  },
  'proxmox-imports.list': async ({ root, canaries }) => ({
    token: root,
    params: { ...proxmoxNowhere, token_secret: canaries.make('the secret of a list') },
    orElse: 503,
  }),
  'proxmox-imports.run': async ({ root, canaries }) => ({
    token: root,
    params: {
      ...proxmoxNowhere,
      vmid: 100,
      source_node: 'home',
      node: 'home',
      pool: 'images',
      token_secret: canaries.make('the secret of an import'),
    },
    orElse: 503,
  }),
  'consoles.open': async ({ root, vm }) => ({ token: root, params: { vm_id: vm, console_type: 'vnc' } }),
  'consoles.write': async ({ root, canaries, vm }) => ({
    token: root,
    params: { id: vm, text: canaries.make('what is typed on a console') },
    // Nothing runs in the guest that would read it.
    orElse: 503,
  }),
}

const done = async ({ ask, root }: World, line: string, json: object) => {
  const { body, text } = await ask(line, { token: root, json, headers: { prefer: 'wait=40' } })
  if (body['state'] !== 'succeeded') throw new Error(`${line} did not succeed: ${text}`)
  return body['result']
}

/** A Compose file with a secret of its own. Its container need not run: nothing else reads what is in the file. */
async function project({ canaries }: World): Promise<{ name: string; compose_file: string }> {
  const { image, command } = sourceOf(await labEngines(), 'docker') as { image: string; command?: string[] }
  const lines = [
    `# ${canaries.make('what is written in a Compose file')}`,
    'services:',
    '  web:',
    `    image: ${image}`,
    ...(command ? [`    command: ${JSON.stringify(inCompose(command))}`] : []),
    '    stop_grace_period: 1s',
  ]
  return { name: newName('stack'), compose_file: `${lines.join('\n')}\n` }
}

/** A stack that is up, and another Compose file for it. @returns its id */
async function stack(world: World): Promise<{ id: string; compose_file: string }> {
  const made = await project(world)
  const wish = { ...made, node: 'local', runtime: 'docker', watch: 1 }
  // The result of the operation is the stack.
  const { id } = (await done(world, 'POST /api/stacks', wish)) as { id: string }
  return { id, compose_file: (await project(world)).compose_file }
}

/** Makes a container that runs, on the local node with the engines of the run. @returns its id */
export async function makeContainer(world: World): Promise<string> {
  const { ask, root } = world
  const engines = await labEngines()
  const local = { token: root, json: { engine_config: engines.config } }
  await until(async () => (await ask('PATCH /api/cluster/nodes/local', local)).status === 200, {
    what: 'the local node',
  })
  const id = newName('container')
  const source = sourceOf(engines, 'docker')
  const given = { id, name: id, runtime: 'docker', node: 'local', ...source, start: true }
  const made = () =>
    done(world, 'POST /api/containers', given).then(
      () => true,
      () => false,
    )
  // The services hear of the changed node after a moment.
  await until(made, { what: 'the container', timeoutMs: 60_000 })
  return id
}

/** Makes a virtual machine that runs on this host. @returns its id */
export async function makeVm(world: World, host: LabHost): Promise<string> {
  const id = newName('vm')
  learnKey(world.canaries, "the lab's SSH key", host.privateKey)
  await done(world, 'POST /api/cluster/nodes', asNode('home', host))
  await done(world, 'POST /api/vms', { id, name: id, memory: 128, cpus: 1, node: 'home', start: true })
  return id
}

/** Registrations that come to nothing: the first has no key that could be read, the second one that the host does not know. */
export function failing({ canaries, host, root }: World): Way[] {
  const { privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
  const broken = `-----BEGIN RSA PRIVATE KEY-----\n${canaries.make('a broken SSH key')}\n-----END RSA PRIVATE KEY-----\n`
  const register = (private_key: string) => ({ token: root, params: { ...asNode(newName('node'), host), private_key } })
  return [
    { ...register(broken), state: 'failed' },
    { ...register(learnKey(canaries, 'an SSH key that is not known', privateKey)), state: 'cancelled' },
  ]
}

/** Storage pools on servers where nothing listens: each kind hands its secret to another program or protocol. */
export function poolsElsewhere({ canaries, root }: World): Way[] {
  const [server, port] = ['127.0.0.1', 9]
  const target = 'iqn.2026-11.lan.store:vms'
  const kinds = [
    { type: 'cifs', server, port, share: 'vms', user: 'a', password: canaries.make('the password of a share') },
    { type: 'iscsi', server, port, target, user: 'a', password: canaries.make('the password of a target') },
    {
      type: 's3',
      endpoint: `https://${server}:${port}`,
      bucket: 'vms',
      access_key: 'a',
      secret_key: canaries.make('the secret key of a store'),
    },
  ]
  return kinds.map((given) => ({ token: root, params: { id: newName('pool'), ...given } }))
}
