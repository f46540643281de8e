import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { containers } from '#shared/contracts/container/containers.ts'
import { NotFoundError } from '#shared/errors.ts'
import { clusterService } from '../../../services/cluster/service.ts'
import { containerService } from '../../../services/container/service.ts'
import { labEngines } from '../../lab/containers/engines.ts'
import { asNode } from '../../lab/faults/scenarios.ts'
import { labHosts } from '../../lab/hosts/lab.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'
import { done } from '../../lab/product/run-operation.ts'
import { until } from '../../lab/wait.ts'

const { engines, config } = await labEngines()
const [host] = labHosts
const withSockets = (['docker', 'podman'] as const).filter((kind) => host !== undefined && engines.includes(kind))
const node = 'far'
let horcrux: TestHorcrux

beforeAll(async () => {
  if (withSockets.length === 0) return
  horcrux = await startHorcrux({ services: [clusterService, containerService] })
  // The host sees the sockets of the engines in the folder of the run.
  const { docker, podman } = config
  await done(horcrux, nodes, 'register', {
    ...asNode(node, host!),
    engine_config: { docker: docker!, podman: podman! },
  })
})
afterAll(() => horcrux?.stop())

describe.each(withSockets)('a container of %s on a node over SSH', (runtime) => {
  test('is made, started, used, stopped and deleted', async () => {
    const id = `far-${runtime}-${randomBytes(3).toString('hex')}`
    const command = ['/bin/sh', '-c', "echo begun; trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"]
    const given = { id, name: id, node, runtime, image: 'tiny', command, memory: 64 }
    expect(await done(horcrux, containers, 'create', given)).toMatchObject({ id, node, runtime, status: 'stopped' })
    expect(await done(horcrux, containers, 'start', { id })).toMatchObject({ status: 'running' })

    const script = 'cat; echo wrong >&2; exit 3'
    const wanted = { id, command: ['/bin/sh', '-c', `echo right; ${script} </dev/null`] }
    expect(await done(horcrux, containers, 'exec', wanted)).toMatchObject({
      exit_code: 3,
      stdout: 'right\n',
      stderr: 'wrong\n',
      reason: 'exited',
    })
    const logs = () => horcrux.call(containers, 'logs', { id, tail: 10 })
    const { lines } = await until(
      async () => {
        const got = await logs()
        return got.lines.length > 0 && got
      },
      { what: 'the first line of the log' },
    )
    expect(lines.map(({ text }) => text)).toEqual(['begun'])

    expect(await done(horcrux, containers, 'stop', { id, timeout: 5 })).toMatchObject({ status: 'stopped' })
    await done(horcrux, containers, 'delete', { id })
    const gone = await horcrux.call(containers, 'get', { id }).catch((error: Error) => error)
    expect(gone).toBeInstanceOf(NotFoundError)
  })
})
