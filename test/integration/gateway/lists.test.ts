import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Right } from '#shared/access/access.ts'
import { contracts } from '#shared/contracts/index.ts'
import { createGateway } from '../../../services/gateway/service.ts'
import { asker, startThings } from '../../lab/product/gateway-only.ts'
import { people, resetPeople, tellAuthChanged, things } from '../../lab/product/things.ts'
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
    test('are ordered by fields and searched, in pages that together are the whole', async () => {
      for (const [index, name] of ['shelf', 'Shelf', 'shelf-b', 'table'].entries())
        for (const size of [1, 2, 30]) await make({ id: `s${index}-${size}`, name, size })
      const query = 'q=SHELF size:>1 -id:s2-30'.replaceAll(' ', '%20').replace('>', '%3E')
      const pages: { id: string; name: string; size: number }[][] = []
      for (let cursor: string | null = ''; cursor !== null;) {
        const from = cursor === '' ? '' : `&cursor=${cursor}`
        const { body } = await asAnn(`GET /api/things?limit=2&sort=-size,name&facets=name&${query}${from}`)
        expect(body).toMatchObject({ total: 5, facets: { name: { shelf: 2, Shelf: 2, 'shelf-b': 1 } } })
        // The list answers things.
        pages.push(body['data'] as { id: string; name: string; size: number }[])
        cursor = body['next_cursor'] as string | null
      }
      expect(pages.flat().map(({ id }) => id)).toEqual(['s1-30', 's0-30', 's1-2', 's0-2', 's2-2'])
    })
    test('refuse what cannot be searched, ordered or counted, all at once', async () => {
      const { status, body } = await asAnn('GET /api/things?q=colour:red&sort=colour&facets=colour')
      expect(status).toBe(422)
      expect((body['violations'] as { field: string }[]).map(({ field }) => field).toSorted()).toEqual([
        'facets',
        'q',
        'sort',
      ])
      expect((await asAnn('GET /api/things?q=size:many')).body).toMatchObject({
        violations: [{ field: 'q', message: 'size is a number, such as 4 or 4GiB' }],
      })
      expect((await asAnn('GET /api/things?sort=name&cursor=eyJ9')).status).toBe(422)
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
    test('of operations begin with the newest, page by page, whatever their ids are', async () => {
      await make({ id: 'ordered', name: 'ordered', size: 2 })
      const begun: unknown[] = []
      for (let at = 0; at < 9; at++) {
        // The id of an operation with a key is a hash; without one it holds the time.
        const headers = { prefer: 'wait=60', ...(at % 3 > 0 && { 'idempotency-key': `ordered-${at}` }) }
        begun.push((await asAnn('POST /api/things/ordered/grow', { json: { by: 1 }, headers })).body['id'])
      }
      const list = 'GET /api/operations?filter=resource:/api/things/ordered'
      const seen: unknown[] = []
      let next = ''
      do {
        const { body } = await asAnn(`${list}&limit=2${next}`)
        expect(body['total']).toBe(9)
        seen.push(...(body['data'] as { id: string }[]).map(({ id }) => id))
        next = body['next_cursor'] === null ? '' : `&cursor=${String(body['next_cursor'])}`
      } while (next !== '')
      expect(seen).toEqual(begun.toReversed())
      const { text } = await asAnn(list, { headers: { accept: 'application/x-ndjson' } })
      const lines = text.trimEnd().split('\n')
      expect(lines.map((line) => (JSON.parse(line) as { id: string }).id)).toEqual(seen)
      for (const place of ['no time', '2026-01-01T00:00:00.000Z', String(seen[0])]) {
        const cursor = Buffer.from(place).toString('base64url')
        expect((await asAnn(`GET /api/operations?cursor=${cursor}`)).status, place).toBe(422)
      }
    })
    test('of operations show all to who has SysAudit on /, with an API key of few rights too', async () => {
      await make({ id: 'seen', name: 'seen', size: 2 })
      await asAnn('POST /api/things/seen/grow', { json: { by: 1 }, headers: { prefer: 'wait=60' } })
      const totalWith = async (rights: Right[]) => {
        people.set('hx_eve_key', { user: 'eve', rights, restricted: true })
        await tellAuthChanged()
        const { body } = await ask('GET /api/operations?filter=resource:/api/things/seen', { token: 'hx_eve_key' })
        return body['total']
      }
      expect(await totalWith([{ path: '/', privileges: ['SysAudit'] }])).toBe(1)
      expect(await totalWith([{ path: '/api/**', privileges: ['SysAudit'] }])).toBe(0)
      expect(await totalWith([{ path: '/', privileges: ['VmAudit'] }])).toBe(0)
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

  describe('lists', () => {
    const names = async (path = 'GET /api/things?filter=name:kept*') =>
      ((await asAnn(path)).body['data'] as { name: string }[]).map(({ name }) => name)

    test('show every change at once', async () => {
      await make({ id: 'kept-1', name: 'kept-1', size: 2 })
      expect(await names()).toEqual(['kept-1'])
      // Through the gateway, and past it.
      await make({ id: 'kept-2', name: 'kept-2', size: 2 })
      expect(await names()).toEqual(['kept-1', 'kept-2'])
      await horcrux.call(things, 'remove', { id: 'kept-1' })
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
