import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { bus } from '#shared/bus/bus.ts'
import { contracts } from '#shared/contracts/index.ts'
import { createGateway } from '../../../services/gateway/service.ts'
import { asker, startThings } from '../../lab/product/gateway-only.ts'
import { ran, resetPeople, tellAuthChanged, things } from '../../lab/product/things.ts'
import type { TestHorcrux } from '../../lab/product/horcrux.ts'
import { missingForNats } from '../../lab/bus/nats.ts'
import { available } from '../../lab/requirements.ts'

const hasNats = available('nats', await missingForNats())
const gateway = createGateway([...contracts.filter(({ name }) => name === 'operations'), things])
let horcrux: TestHorcrux

const { ask, asAnn, make } = asker(gateway)

describe.skipIf(!hasNats)('lists through the gateway', () => {
  beforeAll(async () => {
    horcrux = await startThings([gateway])
  })
  afterAll(() => horcrux?.stop())
  beforeEach(async () => {
    resetPeople()
    await tellAuthChanged()
  })

  describe('lists', () => {
    beforeAll(async () => {
      for (let number = 10; number < 35; number++) await make({ id: `page-${number}`, name: 'page', size: 2 })
    })
    test('come in pages, in a stable order', async () => {
      const first = (await asAnn('GET /api/things?limit=10&filter=name:page')).body
      expect(first).toMatchObject({ total: 25 })
      const rest = (await asAnn(`GET /api/things?limit=20&filter=name:page&cursor=${String(first['next_cursor'])}`))
        .body
      const ids = [first, rest].flatMap(({ data }) => (data as { id: string }[]).map(({ id }) => id))
      expect(ids).toEqual(Array.from({ length: 25 }, (_, index) => `page-${index + 10}`))
      expect(rest['next_cursor']).toBeNull()
    })
    test('hold the items that the caller has the right to see', async () => {
      await make({ id: 'b1', name: 'bobs', size: 2 })
      const { body } = await ask('GET /api/things?fields=name', { token: 'bob-token' })
      expect(body).toEqual({ data: [{ id: 'b1', name: 'bobs' }], next_cursor: null, total: 1 })
    })
    test('name the existing fields when a request asks for an unknown one', async () => {
      const { status, body } = await asAnn('GET /api/things?fields=name,nmae,color')
      expect(status).toBe(422)
      expect(body).toMatchObject({
        violations: [
          { field: 'fields', message: "has no 'nmae', 'color'; there are id, name, size, created_at, version" },
        ],
      })
    })
    test('of operations are filtered by their resource, also by the beginning of its path', async () => {
      await make({ id: 'filtered', name: 'filtered', size: 2 })
      await asAnn('POST /api/things/filtered/grow', { json: { by: 2 }, headers: { prefer: 'wait=60' } })
      const totalOf = async (filter: string) => (await asAnn(`GET /api/operations?filter=${filter}`)).body['total']
      expect(await totalOf('resource:/api/things/filtered')).toBe(1)
      expect(await totalOf('resource:/api/things/filt*,state:succeeded')).toBe(1)
      expect(await totalOf('resource:/api/things/filt*,resource:/api/things/other')).toBe(0)
    })
    test('of operations begin with the newest, page by page', async () => {
      await make({ id: 'ordered', name: 'ordered', size: 2 })
      for (const by of [1, 2, 3])
        await asAnn('POST /api/things/ordered/grow', { json: { by }, headers: { prefer: 'wait=60' } })
      const seen: string[] = []
      let next = ''
      do {
        const { body } = await asAnn(`GET /api/operations?filter=resource:/api/things/ordered&limit=2${next}`)
        seen.push(...(body['data'] as { created_at: string }[]).map(({ created_at }) => created_at))
        next = body['next_cursor'] === null ? '' : `&cursor=${String(body['next_cursor'])}`
      } while (next !== '')
      expect(seen).toHaveLength(3)
      expect(seen).toEqual(seen.toSorted().toReversed())
    })
    test('are streamed whole as lines', async () => {
      const { headers, text } = await asAnn('GET /api/things?filter=name:page', {
        headers: { accept: 'application/x-ndjson' },
      })
      expect(headers['content-type']).toBe('application/x-ndjson')
      expect(
        text
          .trimEnd()
          .split('\n')
          .map((line) => (JSON.parse(line) as { id: string }).id),
      ).toHaveLength(25)
    })
    test('a wrong query of a stream is an error like any other', async () => {
      const answer = await asAnn('GET /api/things?cursor=nonsense', { headers: { accept: 'application/x-ndjson' } })
      expect(answer).toMatchObject({ status: 422, body: { error: 'VALIDATION_ERROR' } })
    })
  })

  describe('lists that are kept', () => {
    const names = async (path = 'GET /api/things?filter=name:kept*') =>
      ((await asAnn(path)).body['data'] as { name: string }[]).map(({ name }) => name)

    test('are asked for once, and show every change at once', async () => {
      await make({ id: 'kept-1', name: 'kept-1', size: 2 })
      expect(await names()).toEqual(['kept-1'])
      const before = ran.list
      await Promise.all([names(), names(), names()])
      expect(ran.list).toBe(before)
      // Through the gateway, and past it.
      await make({ id: 'kept-2', name: 'kept-2', size: 2 })
      expect(await names()).toEqual(['kept-1', 'kept-2'])
      await horcrux.call(things, 'remove', { id: 'kept-1' })
      await bus().nats.flush()
      expect(await names()).toEqual(['kept-2'])
    })
    test('are of one set of rights each', async () => {
      await names()
      const { body } = await ask('GET /api/things?filter=name:kept*', { token: 'bob-token' })
      expect(body).toMatchObject({ data: [], total: 0 })
    })
    test('have a tag, by which they are known to be unchanged', async () => {
      const { headers } = await asAnn('GET /api/things?filter=name:kept*')
      const again = await asAnn('GET /api/things?filter=name:kept*', { headers: { 'if-none-match': headers['etag']! } })
      expect(again).toMatchObject({ status: 304, text: '' })
    })
  })
})
