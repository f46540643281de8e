import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { type Endpoints, endpointsFile, secretsFile } from '#shared/config/config.ts'
import { identityNames, keyFile, keysFolder } from '#shared/bus/identity/keys.ts'
import { missingForHosts } from '../lab/hosts/hosts.ts'
import { missingForNats } from '../lab/bus/nats.ts'
import { available } from '../lab/requirements.ts'
import { until } from '../lab/wait.ts'
import { horcrux, type Instance, startHorcrux } from '../lab/machine/instance.ts'
import { type Machine, startMachine } from '../lab/machine/machine.ts'
import { repository } from '../lab/repository.ts'

const problems = [...(await missingForHosts()), ...(await missingForNats())]
const answers = async (url: string) => (await fetch(`${url}/readyz`)).ok
const secret = { HORCRUX_ADMIN_PASSWORD: 'Correct-horse-7' }

const signIn = ({ url }: Instance) =>
  fetch(`${url}/api/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: 'admin', password: secret.HORCRUX_ADMIN_PASSWORD }),
  })

const endpointsOf = async ({ dataDir }: Instance) =>
  JSON.parse(await readFile(endpointsFile(dataDir), 'utf8')) as Required<Endpoints>

describe.skipIf(!available('libvirt', problems))('horcrux start', () => {
  let machine: Machine
  let first: Instance
  let password = ''

  beforeAll(async () => {
    machine = await startMachine(join(inject('run').dir, 'start'))
    first = await startHorcrux(machine)
  })
  afterAll(() => machine?.remove())

  test('prints its address and three commands that work as they are', async () => {
    expect(first.said()).toContain(`Horcrux is ready at ${first.url}`)
    const commands = first
      .said()
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => /^(curl|TOKEN=)/.test(line))
    expect(commands).toHaveLength(3)
    const { stdout, stderr } = await machine.run('bash', [
      '-ec',
      [...commands, 'echo', 'echo "token=$TOKEN"'].join('\n'),
    ])
    expect(stderr).toBe('')
    expect(stdout).toContain('"id":"local"')
    expect(stdout).toMatch(/^token=.+$/m)
    password = /"password":"([^"]+)"/.exec(commands.join('\n'))?.[1] ?? ''
  })

  test("makes the README's first virtual machine with the README's commands", async () => {
    const readme = await readFile(join(repository, 'README.md'), 'utf8')
    const block = /## A first virtual machine.*?```sh\n(.*?)```/s.exec(readme)?.[1] ?? ''
    const [create, serial] = block.trim().split('\n')
    const env = { HORCRUX_DATA: first.dataDir, HOME: machine.dir, PASSWORD: password }
    const login = `printf %s "$PASSWORD" | npx horcrux login ${first.url} --user admin --password-stdin`
    const made = await machine.run('bash', ['-ec', `set -o pipefail\n${login}\n${create}`], env)
    expect(made.code, made.stderr).toBe(0)
    const isUp = async () =>
      (await machine.run('bash', ['-ec', String(serial)], env)).stdout.includes('horcrux-guest: up')
    await until(isUp, { what: 'the guest', intervalMs: 300 })
    const listed = await machine.run('virsh', ['-q', '-c', 'qemu:///system', 'list'])
    expect(listed.stdout).toMatch(/first.*running/)
  })

  test('keeps its secrets unreadable for other users, and out of the list of processes', async () => {
    const { nats_url, mongodb_url } = await endpointsOf(first)
    const processes = (await machine.processes()).join('\n')
    expect(processes).toContain('nats-server')
    expect(new URL(nats_url)).toMatchObject({ username: '', password: '' })
    const keys = identityNames.map((name) => keyFile(keysFolder(first.dataDir), name))
    const seeds = await Promise.all(keys.map(async (file) => (await readFile(file, 'utf8')).trim()))
    for (const secret of [...seeds, new URL(mongodb_url).password]) expect(processes).not.toContain(secret)
    for (const name of ['run', 'secrets', 'nats', 'store'])
      expect((await stat(join(first.dataDir, name))).mode & 0o777).toBe(0o700)
    const inRun = (await readdir(join(first.dataDir, 'run'))).filter((name) => /endpoints|nats\.conf/.test(name))
    for (const file of [secretsFile(first.dataDir), ...keys, ...inRun.map((name) => join(first.dataDir, 'run', name))])
      expect((await stat(file)).mode & 0o777).toBe(0o600)
  })

  test('refuses a data folder that is in use, and names the process', async () => {
    const { code, stderr } = await machine.run('node', [horcrux, 'start'], { HORCRUX_DATA: first.dataDir })
    expect(code).toBe(1)
    expect(stderr).toMatch(/already runs on .* \(process \d+\)/)
    expect(await answers(first.url)).toBe(true)
  })

  test('refuses a port that is taken, and leaves nothing running', async () => {
    const before = await machine.processes()
    const { port } = new URL(first.url)
    const env = { HORCRUX_DATA: join(machine.dir, 'other'), HORCRUX_PORT: port }
    const { code, stderr } = await machine.run('node', [horcrux, 'start'], env)
    expect(code).toBe(1)
    expect(stderr).toMatch(`cannot listen on 127.0.0.1 port ${port}: something else listens there`)
    expect(await machine.processes()).toHaveLength(before.length)
  })

  test('names all mistakes of its configuration and ends with 78', async () => {
    const env = { HORCRUX_PORT: 'abc', HORCRUX_TLS: 'yes', HORCRUX_JWT_SECRET: 'short', HORCRUX_LOG_LEVEL: 'loud' }
    const { code, stderr } = await machine.run('node', [horcrux, 'start'], env)
    expect(code).toBe(78)
    for (const name of Object.keys(env)) expect(stderr).toContain(name)
  })

  test('two instances on one machine do not see each other', async () => {
    const second = await startHorcrux(machine, { HORCRUX_DATA: join(machine.dir, 'second'), ...secret })
    const [one, other] = [await endpointsOf(first), await endpointsOf(second)]
    for (const name of ['api_url', 'nats_url', 'mongodb_url'] as const) expect(one[name]).not.toBe(other[name])
    expect((await signIn(second)).status).toBe(200)
    expect((await signIn(first)).status).toBe(401)
    await second.signal('TERM')
    expect((await second.exit).code).toBe(0)
    expect(await answers(first.url)).toBe(true)
  })

  test('another process of the machine finds bus and store by the data folder', async () => {
    const service = await machine.spawn('node_modules/.bin/node', ['services/storage/main.ts'], {
      HORCRUX_DATA: first.dataDir,
      HORCRUX_LOG_LEVEL: 'info',
    })
    let log = ''
    service.stdout.on('data', (chunk: Buffer) => (log += chunk.toString()))
    await until(() => log.includes('storage is up'), { what: 'the service' })
    await service.kill()
  })

  test('starts its bus and its store again when they die', async () => {
    for (const word of ['nats-server', 'embedded-store/src/main.ts']) {
      const pid = async () => (await machine.run('pgrep', ['-f', `${word}`])).stdout.trim().split('\n').at(-1)
      const old = await pid()
      await machine.run('kill', ['-9', String(old)])
      await until(async () => (await pid()) !== old && (await answers(first.url)), { what: `another ${word}` })
    }
  })
})

describe.skipIf(!available('libvirt', problems))('a Horcrux that ends', () => {
  let machine: Machine

  beforeAll(async () => {
    machine = await startMachine(join(inject('run').dir, 'end'))
  })
  afterAll(() => machine?.remove())

  const isOurs = (line: string) => /nats-server|embedded|horcrux\.ts/.test(line)
  const oursGone = () =>
    until(async () => !(await machine.processes()).some(isOurs), { what: 'the end of all children' })

  test('by SIGTERM stops its children, and leaves libvirt and guests alone', async () => {
    const instance = await startHorcrux(machine, secret)
    const xml = `<domain type='qemu'><name>bystander</name><memory unit='MiB'>32</memory><os><type>hvm</type></os></domain>`
    const made = await machine.run('bash', ['-c', 'virsh -q -c qemu:///system create /dev/stdin <<<"$0"', xml])
    expect(made.stderr).toBe('')
    await instance.signal('TERM')
    expect((await instance.exit).code).toBe(0)
    expect((await machine.processes()).filter(isOurs)).toEqual([])
    const { stdout } = await machine.run('virsh', ['-q', '-c', 'qemu:///system', 'list', '--name'])
    expect(stdout.trim()).toBe('bystander')
  })

  test('by kill -9 ends its children too; the next start continues with the same data', async () => {
    const instance = await startHorcrux(machine, secret)
    expect((await signIn(instance)).status).toBe(200)
    await instance.signal('KILL')
    await oursGone()
    const next = await startHorcrux(machine)
    expect((await signIn(next)).status).toBe(200)
    await next.signal('INT')
    expect((await next.exit).code).toBe(0)
    await oursGone()
  })

  test('libvirtd comes back when it is killed, and finds its guests', async () => {
    const libvirtd = async () => (await machine.run('pgrep', ['-x', 'libvirtd'])).stdout.trim()
    const old = await libvirtd()
    expect(old).not.toBe('')
    await machine.run('kill', ['-9', old])
    const guests = () => machine.run('virsh', ['-q', '-c', 'qemu:///system', 'list', '--name'])
    await until(async () => (await libvirtd()) !== old && (await guests()).stdout.trim() === 'bystander')
  })
})

describe.skipIf(!available('libvirt', problems))('a user who is not root, without libvirt', () => {
  let machine: Machine
  const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']

  beforeAll(async () => {
    machine = await startMachine(join(inject('run').dir, 'nobody'))
    // The checkout and the temporary folder may lie where nobody else may go.
    const places = 'mount --bind "$0" /mnt && mount -t tmpfs -o mode=1777 tmpfs /media'
    expect((await machine.run('bash', ['-c', places, repository])).stderr).toBe('')
  })
  afterAll(() => machine?.remove())

  test('can start Horcrux, and is told what is missing and how to get it', async () => {
    const env = { HORCRUX_DATA: '/media/data', HOME: '/media' }
    const instance = await startHorcrux(machine, env, [...nobody, 'node', '/mnt/bin/horcrux.js'])
    expect(instance.said()).toMatch(/guests +none yet: libvirtd does not run, and only root can start it -> /)
    await until(() => answers(instance.url), { what: 'the API' })
    await instance.signal('TERM')
    expect((await instance.exit).code).toBe(0)
  })

  test('is told how to get a program without which nothing starts', async () => {
    await machine.run('bash', ['-c', 'mount --bind /dev/null "$(command -v nats-server)"'])
    const { code, stderr } = await machine.run(
      'setpriv',
      [...nobody.slice(1), 'node', '/mnt/bin/horcrux.js', 'start'],
      {
        HORCRUX_DATA: '/media/other',
        HOME: '/media',
      },
    )
    expect(code).toBe(1)
    expect(stderr).toContain('apt-get install nats-server')
  })
})
