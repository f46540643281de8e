import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { get } from 'node:https'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { config, downAll, exec, logs, ps, upAll, upOne } from 'docker-compose'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import type { Vm } from '#shared/contracts/vm/vms.ts'
import { buildTinyGuest } from '../../tools/tiny-guest/tiny-guest.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { freePort } from '#shared/platform/data-folder.ts'
import { type ApiClient, apiClient } from '../../bin/api-client.ts'
import { selfSigned } from '../../services/gateway/tls/certificate.ts'
import { missingForHosts } from '../lab/hosts/hosts.ts'
import { available } from '../lab/requirements.ts'
import { until } from '../lab/wait.ts'
import { type Compose, missingForDocker, outcome, startDocker } from '../lab/docker/docker.ts'
import { type Machine, startMachine } from '../lab/machine/machine.ts'
import { repository } from '../lab/repository.ts'

const minutes = 60_000
const password = randomBytes(20).toString('hex')
const problems = [...(await missingForDocker()), ...(await missingForHosts())]

describe.skipIf(!available('docker', problems))('docker compose', () => {
  let machine: Machine
  let compose: Compose
  let api: ApiClient
  let settings: Record<string, string>
  const options = (...words: string[]) => compose.options(settings, ...words)
  const inService = async (service: string, ...command: string[]) => (await exec(service, command, options())).out

  beforeAll(async () => {
    machine = await startMachine(join(inject('run').dir, 'compose'))
    const random = () => randomBytes(20).toString('hex')
    settings = {
      HORCRUX_BUS: join(machine.dir, 'bus'),
      MONGODB_PASSWORD: random(),
      HORCRUX_JWT_SECRET: random(),
      HORCRUX_SECRET_KEY: random(),
      HORCRUX_ADMIN_PASSWORD_FILE: join(machine.dir, 'password'),
      HORCRUX_PORT: String(await freePort(0)),
      HORCRUX_DISKS: join(machine.dir, 'disks'),
      HORCRUX_DOCKER_SOCKET: join(machine.dir, 'docker.sock'),
    }
    await mkdir(join(machine.dir, 'disks'))
    await writeFile(settings['HORCRUX_ADMIN_PASSWORD_FILE']!, password)
    const identities = [join(repository, 'bin/horcrux.js'), 'bus-identities', settings['HORCRUX_BUS']!]
    expect(await machine.run('node', identities)).toMatchObject({ code: 0, stderr: '' })
    await machine.run('bash', [join(repository, 'shared/platform/libvirtd.sh'), 'up', 'tcg'])
    compose = await startDocker(machine)
    await compose.build()
  }, 12 * minutes)

  afterAll(async () => {
    if (compose) await outcome(downAll(options('--volumes', '--timeout', '1')))
    await compose?.stop()
    await machine?.remove()
  }, 2 * minutes)

  test('refuses to start without its secrets, and names the one that is missing', async () => {
    const { exitCode, err } = await outcome(config(compose.options({ ...settings, HORCRUX_SECRET_KEY: '' })))
    expect(exitCode).not.toBe(0)
    expect(err).toMatch(/HORCRUX_SECRET_KEY .*set it in \.env/)
    expect(await config(options())).toMatchObject({ exitCode: 0, err: '' })
  })

  test(
    'starts a container for each service, two for container and three for vm',
    { timeout: 3 * minutes },
    async () => {
      const { exitCode, err } = await outcome(
        upAll(options('--no-build', '--wait', '--scale', 'vm=3', '--scale', 'container=2')),
      )
      const said = exitCode === 0 ? '' : (await logs([], options('--tail', '20'))).out
      expect(exitCode, `${err}\n${said}`).toBe(0)
      const { data } = await ps({ ...options(), commandOptions: [['--format', 'json']] })
      const once = ['audit', 'auth', 'cluster', 'gateway', 'metrics', 'migration', 'mongodb', 'nats', 'storage']
      const services = [...once, 'container', 'container', 'vm', 'vm', 'vm'].toSorted()
      const found = data.services.map(({ name, state }) => `${name.replace(/^horcrux-(.*)-\d+$/, '$1')} ${state}`)
      expect(found.toSorted()).toEqual(services.map((name) => `${name} running`))
      const url = `http://127.0.0.1:${settings['HORCRUX_PORT']}`
      await until(async () => (await fetch(`${url}/readyz`)).ok, { what: 'the gateway' })
      const body = { username: 'admin', password }
      api = apiClient(url, (await apiClient(url).send<{ token: string }>('POST', '/auth/login', body)).token)
    },
  )

  test('runs services that touch neither guests nor disks as an ordinary user', async () => {
    for (const service of ['gateway', 'auth', 'audit'])
      expect((await inService(service, 'id', '-u')).trim()).toBe('1000')
  })

  test('gives each service its own identity on the bus, and no other', async () => {
    for (const service of ['gateway', 'auth', 'audit', 'cluster', 'storage', 'vm', 'container']) {
      const secrets = await inService(service, 'sh', '-c', 'ls /run/secrets; cat /run/secrets/*')
      expect(secrets).toBe(`bus\n${await readFile(join(settings['HORCRUX_BUS']!, `${service}.nk`), 'utf8')}`)
    }
  })

  test('runs a virtual machine on the libvirt of the machine', { timeout: 2 * minutes }, async () => {
    const boot = await buildTinyGuest(localHost(), join(machine.dir, 'disks/guest'))
    const vm = await api.send<Vm>('POST', '/vms', { name: 'composed', memory: 128, cpus: 1, boot, start: true })
    const listed = await machine.run('virsh', ['-q', '-c', 'qemu:///system', 'list', '--name'])
    expect(listed.stdout).toContain('composed')
    const serial = async () => (await api.get<{ text: string }>(`/vms/${vm.id}/serial`)).text
    await until(async () => (await serial()).includes('horcrux-guest: up'), { what: 'the guest' })
    await api.send('POST', `/vms/${vm.id}/stop`, { force: true })
    await api.send('DELETE', `/vms/${vm.id}`)
  })

  test('works on when two of three replicas are gone', { timeout: 2 * minutes }, async () => {
    await upAll(options('--no-build', '--wait', '--scale', 'vm=1'))
    for (let again = 0; again < 5; again++) expect(await api.get<{ total: number }>('/vms')).toMatchObject({ total: 0 })
  })

  test('ends TLS in the gateway, with a certificate of its own or of the host', { timeout: 3 * minutes }, async () => {
    const { cert, key } = await selfSigned({ names: ['localhost'], addresses: ['127.0.0.1'] }, 1)
    const files = { HORCRUX_TLS_CERT: join(machine.dir, 'cert.pem'), HORCRUX_TLS_KEY: join(machine.dir, 'key.pem') }
    await writeFile(files.HORCRUX_TLS_CERT, cert)
    await writeFile(files.HORCRUX_TLS_KEY, key)
    for (const tls of [{ HORCRUX_TLS: 'self-signed' }, { HORCRUX_TLS: 'files', ...files }]) {
      Object.assign(settings, tls)
      // Until its own check says that it is well.
      await upOne('gateway', options('--no-build', '--wait'))
      const { promise, resolve, reject } = Promise.withResolvers<string>()
      const url = `https://127.0.0.1:${settings['HORCRUX_PORT']}/healthz`
      get(url, { rejectUnauthorized: false }, (answer) => {
        answer.resume()
        resolve((answer.socket as TLSSocket).getPeerX509Certificate()?.toString() ?? '')
      }).on('error', reject)
      expect((await promise) === cert).toBe(tls.HORCRUX_TLS === 'files')
    }
  })
})
