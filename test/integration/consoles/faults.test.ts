import { afterAll, beforeAll, expect, test } from 'vitest'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { openConsole } from '../../lab/clients/console-sockets.ts'
import { type Deployment, startDeployment } from '../../lab/product/deployment.ts'
import { ask } from '../../lab/clients/http.ts'
import { asNode } from '../../lab/faults/scenarios.ts'
import { until } from '../../lab/wait.ts'
import { labHosts } from '../../lab/hosts/lab.ts'

const [host] = labHosts
const wait = { prefer: 'wait=60' }
let horcrux: Deployment
const gateway = (number: number) => horcrux.gateways[number]!
const asked = (line: string, json?: unknown, number = 1) =>
  ask(gateway(number).url, line, { token: horcrux.token, headers: wait, ...(json !== undefined && { json }) })

beforeAll(async () => {
  horcrux = await startDeployment({ gateways: 2 })
  expect((await asked('POST /api/cluster/nodes', asNode('hv1', host!))).body).toMatchObject({ state: 'succeeded' })
  const json = { id: 'it', name: 'it', memory: 128, cpus: 1, node: 'hv1', start: true }
  expect((await asked('POST /api/vms', json)).body).toMatchObject({ state: 'succeeded' })
})
afterAll(() => horcrux?.stop())

/** Programs of the lab host that follow this guest's log, and sockets to its display that somebody holds. */
async function held(): Promise<{ followers: number; viewers: number }> {
  const { stdout: pids } = await localHost().runChecked('ip', ['netns', 'pids', host!.netns])
  const { stdout } = await localHost().runChecked('ps', ['-o', 'args=', '-p', pids.trim().split('\n').join(',')])
  const sockets = await localHost().runChecked('ip', ['netns', 'exec', host!.netns, 'ss', '-xH'])
  return {
    followers: stdout.split('\n').filter((line) => line.startsWith('tail ') && line.includes('/it.log')).length,
    viewers: sockets.stdout.split('\n').filter((line) => /domain-\d+-it\/vnc\.sock/.test(line)).length,
  }
}

const open = async (type: string, number: number) => {
  const { body } = await asked(`POST /api/console/it/${type}`, {}, number)
  const console = await openConsole(gateway(number).url, String(body['websocket_path']))
  const id = String(body['ticket']).split('.')[0]
  const status = async () => (await asked(`GET /api/console/ticket/${id}`)).body
  return { ...console, status }
}

test('a gateway that is killed leaves no socket, no program and no open ticket', async () => {
  const [screen, serial] = [await open('vnc', 0), await open('serial', 0)]
  await screen.shows('RFB')
  await until(async () => {
    const { followers, viewers } = await held()
    return followers === 1 && viewers === 1
  })
  await gateway(0).kill()
  await Promise.all([screen.closed, serial.closed])
  await until(
    async () => {
      const { followers, viewers } = await held()
      return followers === 0 && viewers === 0
    },
    { what: 'the node to let go' },
  )
  for (const { status } of [screen, serial])
    await until(async () => (await status())['status'] === 'closed', { what: 'the ticket' })
  expect(await screen.status()).toMatchObject({ reason: 'The gateway that held it has gone' })
  const { body } = await asked('GET /api/audit/events?limit=1000&kind=console_closed')
  expect(body['total']).toBe(2)
})

test('a viewer that goes, and a vm service that is killed meanwhile, leave nothing either', async () => {
  const [screen, serial] = [await open('vnc', 1), await open('serial', 1)]
  await screen.shows('RFB')
  const service = horcrux.services.find(({ name }) => name === 'vm-1')!
  await service.kill()
  // The console does not need it.
  expect(screen.socket.readyState).toBe(screen.socket.OPEN)
  for (const { socket } of [screen, serial]) socket.terminate()
  await until(async () => {
    const { followers, viewers } = await held()
    return followers === 0 && viewers === 0
  })
  await service.start()
  for (const { status } of [screen, serial])
    await until(async () => (await status())['status'] === 'closed', { what: 'the ticket' })
})
