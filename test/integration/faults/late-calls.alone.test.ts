import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { missingForNats } from '../../lab/bus/nats.ts'
import { ask } from '../../lab/clients/http.ts'
import { type Deployment, startDeployment } from '../../lab/product/deployment.ts'
import type { Part } from '../../lab/product/child-process.ts'
import { available } from '../../lab/requirements.ts'
import { until } from '../../lab/wait.ts'

const hasNats = available('nats', await missingForNats())

/** A call that a stopped replica has in its socket, when it wakes up: it is done by another one, or given up, by then. */
describe.skipIf(!hasNats)('a replica that wakes up with an old call', () => {
  let horcrux: Deployment
  const partsOf = (name: string) => horcrux.services.filter((part) => part.name.startsWith(`${name}-`))
  const api = (call: string, json?: object) =>
    ask(horcrux.gateways[0]!.url, call, { token: horcrux.token, ...(json && { json }) })
  /** While replicas are stopped. */
  async function whileStopped<T>(parts: Part[], work: () => Promise<T>): Promise<T> {
    for (const part of parts) part.signal('SIGSTOP')
    try {
      return await work()
    } finally {
      for (const part of parts) part.signal('SIGCONT')
    }
  }

  beforeAll(async () => {
    horcrux = await startDeployment({ replicas: 2, gateways: 2 })
  })
  afterAll(() => horcrux?.stop())

  test('does not undo a later change, and the change is on record once', { timeout: 300_000 }, async () => {
    const put = (description: string) => api('PUT /api/roles/late', { description, privileges: ['VmAudit'] })
    expect(await api('POST /api/roles', { name: 'late', description: 'new', privileges: ['VmAudit'] })).toMatchObject({
      status: 201,
    })
    const requests: string[] = []
    // A round in which the stopped replica has the call takes as long as it is waited for; others are answered at once.
    for (let round = 0, waited = 0; waited < 2 && round < 12; round++) {
      const [stopped] = partsOf('auth')
      await whileStopped([stopped!], async () => {
        const begin = performance.now()
        const first = await put(`first ${round}`)
        if (performance.now() - begin > 2000) waited++
        // On a busy machine the other replica is found too late: then the client is told that the outcome is unknown.
        expect([200, 503]).toContain(first.status)
        requests.push(first.headers['x-request-id']!)
        const second = async () => (await put(`second ${round}`)).status === 200
        await until(second, { what: 'a second change to be answered' })
      })
      // The replica works through its socket now.
      for (let look = 0; look < 10; look++) {
        expect((await api('GET /api/roles/late')).body).toMatchObject({ description: `second ${round}` })
        await delay(100)
      }
    }
    for (const request of requests) {
      const { body } = await api(`GET /api/audit/events?request_id=${request}`)
      const records = (body['data'] as { request_id: string; result: string }[]).filter(
        ({ request_id, result }) => request_id === request && result === 'success',
      )
      expect(records.length).toBeLessThanOrEqual(1)
    }
  })

  test('does not make a change whose sender was told that its outcome is unknown', { timeout: 120_000 }, async () => {
    expect(await api('POST /api/storage/pools', { type: 'dir', name: 'kept', id: 'kept' })).toMatchObject({
      status: 201,
    })
    const answer = await whileStopped(partsOf('storage'), () => api('DELETE /api/storage/pools/kept'))
    expect(answer).toMatchObject({ status: 503, body: { details: { outcome: 'unknown' } } })
    expect(answer.body['message']).toContain('Idempotency-Key')
    for (let look = 0; look < 15; look++) {
      await delay(100)
      const { status } = await api('GET /api/storage/pools/kept')
      if (status !== 503) expect(status).toBe(200)
    }
  })

  /** A DELETE that a stopped gateway has, and whose client has given up; the role is deleted and made again meanwhile. */
  async function deletedAgain(name: string, headers: Record<string, string>): Promise<void> {
    const make = () => api('POST /api/roles', { name, description: 'new', privileges: ['VmAudit'] })
    expect(await make()).toMatchObject({ status: 201 })
    const stopped = horcrux.gateways[1]!
    await whileStopped([stopped], async () => {
      const gaveUp = new AbortController()
      const url = `${stopped.url}/api/roles/${name}`
      const asked = { method: 'DELETE', headers: { authorization: `Bearer ${horcrux.token}`, ...headers } }
      const old = fetch(url, { ...asked, signal: gaveUp.signal }).catch(() => undefined)
      await delay(1000)
      gaveUp.abort()
      await old
      expect(await ask(horcrux.gateways[0]!.url, `DELETE /api/roles/${name}`, asked)).toMatchObject({ status: 204 })
      expect(await make()).toMatchObject({ status: 201 })
      await delay(1000)
    })
    for (let look = 0; look < 15; look++) {
      await delay(100)
      expect(await api(`GET /api/roles/${name}`)).toMatchObject({ status: 200 })
    }
  }

  test('is a gateway, and its client has gone: nothing is changed', () => deletedAgain('gone', {}))

  test('is a gateway, and another one has done the work of the key: nothing is changed', () =>
    deletedAgain('keyed', { 'idempotency-key': 'deleted-once' }))
})
