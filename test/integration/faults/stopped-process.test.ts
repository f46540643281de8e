import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bus } from '#shared/bus/bus.ts'
import { raiseTry } from '#shared/bus/tries.ts'
import { roles } from '#shared/contracts/access/roles.ts'
import { NotFoundError } from '#shared/errors.ts'
import { missingForNats } from '../../lab/bus/nats.ts'
import { type Part, partOf } from '../../lab/product/child-process.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'
import { repository } from '../../lab/repository.ts'
import { available } from '../../lab/requirements.ts'
import { until } from '../../lab/wait.ts'

const hasNats = available('nats', await missingForNats())
/** Longer than the process may be late with its own heartbeat, and shorter than others wait for it to be heard. */
const stopMs = 1900

describe.skipIf(!hasNats)('a process that was stopped', () => {
  let horcrux: TestHorcrux
  let auth: Part
  let nodeId: string

  beforeAll(async () => {
    horcrux = await startHorcrux({ services: [] })
    const words = [process.execPath, join(repository, 'services/auth/main.ts')]
    const ready = (lines: string[]) => lines.some((line) => line.includes('auth is up'))
    auth = partOf({ name: 'auth', words, env: { ...horcrux.env, HORCRUX_LOG_LEVEL: 'info' }, ready })
    await auth.start()
    await horcrux.broker.waitForServices(['roles'], 60_000)
    const nodes = horcrux.broker.registry.getNodeList({ onlyAvailable: true, withServices: false }) as { id: string }[]
    nodeId = nodes.find(({ id }) => id.startsWith('auth.'))!.id
  })
  afterAll(async () => {
    await auth?.kill()
    await horcrux?.stop()
  })

  /** Sends a try to the process while it is stopped; wakes the process; returns the answer or the error. */
  async function whileStopped(name: string, times: { deadline: number }, meanwhile = async () => {}) {
    await heartbeat()
    auth.signal('SIGSTOP')
    const begin = Date.now()
    // Sent so late that it is fresh by its age when the process wakes up: only the stop tells that it is old.
    const sentAt = begin + stopMs - 1000
    const attempt = { call: `call of ${name}`, number: 1, sentAt, deadline: begin + times.deadline }
    const meta = { caller: { kind: 'service', name: 'test' }, requestId: name, idempotency: name, try: attempt }
    const params = { name, description: '', privileges: ['VmAudit'] }
    const answer = horcrux.broker
      .call('roles.create', params, { nodeID: nodeId, meta, timeout: 30_000 })
      .catch((error: Error) => error)
    await meanwhile()
    await delay(stopMs - (Date.now() - begin))
    auth.signal('SIGCONT')
    return answer
  }
  /** Waits for its next heartbeat on the bus: missed ones would end the call. */
  async function heartbeat(): Promise<void> {
    const heard = bus().nats.subscribe('MOL.HEARTBEAT.auth', { max: 1 })
    for await (const _ of heard) return
  }
  const find = (name: string) => horcrux.call(roles, 'get', { name })
  const notices = () => auth.said().filter((line) => line.includes('did not run for a while')).length

  test('asks the store before it acts on a call that it had received, and logs the stop once', async () => {
    const before = notices()
    const answer = await whileStopped('repeated', { deadline: 60_000 }, () => raiseTry('call of repeated', 2))
    expect(answer).toMatchObject({ message: expect.stringContaining('sent to another replica') as string })
    await expect(find('repeated')).rejects.toThrow(NotFoundError)
    await until(() => notices() > before, { what: 'the line in the log' })
    expect(await whileStopped('valid', { deadline: 60_000 })).toMatchObject({ name: 'valid' })
    expect(await find('valid')).toMatchObject({ name: 'valid' })
    await until(() => notices() === before + 2, { what: 'one line for each stop' })
  })

  test('drops a call whose deadline has passed', async () => {
    const answer = await whileStopped('dropped', { deadline: 1000 })
    expect(answer).toMatchObject({ message: expect.stringContaining('too late') as string })
    await expect(find('dropped')).rejects.toThrow(NotFoundError)
  })
})
