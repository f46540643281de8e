import { setTimeout as delay } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Cutter, startCutter } from '../../lab/faults/cutter.ts'
import { type Deployment, startDeployment } from '../../lab/product/deployment.ts'
import { fold, type Folded } from '../../lab/clients/state-from-events.ts'
import { follow, followedTopics, type Follower } from '../../lab/clients/follower.ts'
import { ask } from '../../lab/clients/http.ts'
import { type Kept, keptEvents } from '../../lab/bus/stored-events.ts'
import { everything, reconcile } from '../../lab/load/reconcile.ts'
import { startLoad } from '../../lab/load/load.ts'
import { missingForNats } from '../../lab/bus/nats.ts'
import { bugsOf, withPool } from '../../lab/load/outage.ts'
import { available } from '../../lab/requirements.ts'
import { asNode } from '../../lab/faults/scenarios.ts'
import { type Event, events, type EventType } from '#shared/contracts/core/events.ts'
import { createVersionCheck } from '../../../services/gateway/events/outdated.ts'
import { amount, randomOf, seedOf } from '../../lab/faults/seed.ts'
import { openSocket } from '../../lab/clients/sockets.ts'
import { startVmLoad } from '../../lab/load/vm-load.ts'
import { until } from '../../lab/wait.ts'
import { labHosts } from '../../lab/hosts/lab.ts'

const hasNats = available('nats', await missingForNats())
const [host] = labHosts
const cuts = amount({ sample: 60, all: 1000 })
const perSecond = 8
const media = ['ws', 'ws', 'ws', 'ws', 'sse', 'sse', 'sse'] as const

/** Of each hundred cuts so many; the others break a client's connection in the middle of what is on its way. */
const shares = {
  'gateway killed': 8,
  'gateway stopped': 7,
  'NATS killed': 6,
  'client gone': 19,
  'connection broken': 20,
}
type Sort = keyof typeof shares | 'broken within a frame'

/** As many of each sort as its share, in an order that follows from the seed. */
function schedule(random: () => number): Sort[] {
  const fixed = Object.entries(shares).flatMap(([sort, share]) =>
    // Object.entries forgets the type of the keys.
    Array.from({ length: Math.ceil((cuts * share) / 100) }, () => sort as Sort),
  )
  const all = Array.from({ length: cuts }, (_, number) => fixed[number] ?? 'broken within a frame')
  return all
    .map((sort) => ({ sort, place: random() }))
    .toSorted((one, other) => one.place - other.place)
    .map(({ sort }) => sort)
}

describe.skipIf(!hasNats)('clients, gateways and NATS that are cut off at random', () => {
  let horcrux: Deployment
  const cutters: Cutter[] = []

  beforeAll(async () => {
    horcrux = await withPool(await startDeployment({ gateways: 2 }))
    if (host) await registerNode(horcrux)
  })
  afterAll(async () => {
    for (const cutter of cutters) cutter.stop()
    await horcrux?.stop()
  })

  test(
    'each client folds to the state of the server, with no gap and nothing twice',
    { timeout: 3_000_000 },
    async () => {
      const { gateways, nats, connect } = horcrux
      const urls = gateways.map(({ url }) => url)
      // All of it may take longer than a token lives.
      const token = await keyOf(horcrux)
      const seed = seedOf('event-cuts')
      const random = randomOf(seed)
      const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!
      const { from, known } = await beginning(urls[0]!, token)
      let turn = 0
      const followers: Follower[] = []
      for (const [number, medium] of media.entries()) {
        // Whoever was cut off comes back at the next gateway.
        const cutter = await startCutter(() => Number(new URL(urls[turn++ % urls.length]!).port))
        cutters.push(cutter)
        followers.push(follow(`${medium} ${number}`, medium, { url: cutter.url, token, from }))
      }
      const load = startLoad({ urls, token, perSecond, insistMs: 60_000 })
      const machines = host && startVmLoad({ urls, token, random: randomOf(`${seed}/vms`) })

      /** `far`: from 0 to 1, how long, or after how much. What takes longer goes on beside the cuts of clients. */
      const cut: Record<Sort, (far: number) => Promise<void> | void> = {
        'client gone': () => pick(followers).cut(),
        'connection broken': () => pick(cutters).cutAfter(0),
        'broken within a frame': (far) => pick(cutters).cutAfter(1 + Math.floor(far * 3000)),
        'gateway killed': async (far) => {
          const gateway = pick(gateways)
          await gateway.kill()
          await delay(far * 500)
          await gateway.start()
        },
        'gateway stopped': async (far) => {
          const gateway = pick(gateways)
          gateway.signal('SIGSTOP')
          await delay(far * 1500)
          gateway.signal('SIGCONT')
        },
        'NATS killed': async (far) => {
          await nats.kill()
          await delay(far * 1000)
          await nats.start()
        },
      }
      const begin = performance.now()
      const planned = schedule(random)
      let mending = Promise.resolve()
      for (const sort of planned) {
        const isLong = !sort.startsWith('client') && !sort.includes('broken')
        if (isLong) await mending
        const cutting = Promise.resolve(cut[sort](random()))
        if (isLong) mending = cutting
        cutting.catch(() => undefined)
        await delay(random() * 400)
      }
      await mending
      const seconds = Math.round((performance.now() - begin) / 1000)
      await machines?.stop()
      await load.stop()
      const reconciled = await reconcile(urls[0]!, token, load.wishes)
      const state = await until(() => settled(urls[0]!, token), {
        what: 'the end of all operations',
      }).catch(async (error: Error) => {
        throw new Error(`${error.message}; SEED=${seed}, still open: ${await unsettled(urls[0]!, token)}`)
      })
      // What was told while NATS was away comes into the stream later than the state says it.
      let kept: Kept[] = []
      const isWhole = async () => {
        kept = (await keptEvents(connect)).filter(isFollowed)
        return isDeepStrictEqual(fold(known, kept), state)
      }
      await until(isWhole, { what: 'the last event in the stream' }).catch(() => undefined)
      const isOutdated = createVersionCheck()
      const told = kept.filter((one) => !isOutdated(one as Pick<Event, 'type' | 'data'>))
      const last = told.at(-1)!
      const hasAll = ({ seen }: Follower) => JSON.stringify(seen.at(-1)?.data) === JSON.stringify(last.data)
      await until(() => followers.every(hasAll), { what: 'the last event' }).catch(() => undefined)
      await Promise.all(followers.map((follower) => follower.stop()))

      const found = followers.map((follower) => judge(follower, told, { from, known }))
      const doubled = kept.length - new Set(kept.map(({ id }) => id)).size
      process.stdout.write(
        `${cuts} cuts in ${seconds} s (${Object.entries(counted(planned))
          .map(([sort, count]) => `${count} ${sort}`)
          .join(', ')}) under ${load.sent.length} requests and ${machines?.done.length ?? 0} operations on VMs; ` +
          `${kept.length} events in the stream, ${followers.length} clients with ${followers.reduce((sum, { endings }) => sum + endings.length, 0)} connections: ` +
          `${found.map(({ name, seen, gaps, doubles }) => `${name} saw ${seen}, ${gaps.length} gaps, ${doubles.length} twice`).join('; ')}\n`,
      )
      for (const [number, one] of found.entries()) explain(one, followers[number]!, kept, seed)
      const kinds = new Set(followers[0]!.seen.map(({ type }) => type))
      expect(kinds).toEqual(
        new Set(host ? ['OperationUpdated', 'VmCreated', 'VmDeleted', 'VmStatusChanged'] : ['OperationUpdated']),
      )
      expect(doubled, 'events that are in the stream twice').toBe(0)
      for (const one of found)
        expect(one).toMatchObject({ gaps: [], doubles: [], strange: [], resyncs: [], refusals: [] })
      for (const one of found) expect(one.state, one.name).toEqual(state)
      expect(reconciled).toMatchObject({ lost: [], doubled: [], unended: [], failed: [] })
      expect(bugsOf(horcrux)).toEqual([])
    },
  )
})

/** Prints what a client that is wrong was given around the first place of each wrong, and over which connections. */
function explain(found: Judged, { name, seen, connections }: Follower, kept: Kept[], seed: string): void {
  const wrong = [...found.gaps, ...found.doubles, ...found.strange.map(({ seq }) => seq)].toSorted((a, b) => a - b)
  if (wrong.length === 0 && found.resyncs.length === 0 && found.refusals.length === 0) return
  const [first = found.resyncs[0]?.seq ?? 0, last = first] = [wrong[0], wrong.at(-1)]
  const isNear = (seq: number) => seq >= first - 5 && seq <= last + 5
  const lines = [
    `${name} (SEED=${seed}): gaps ${found.gaps.join()}; twice ${found.doubles.join()}; strange ${JSON.stringify(found.strange)}`,
    `resyncs ${JSON.stringify(found.resyncs)}; refusals ${found.refusals.join('; ')}`,
    `in the stream: ${kept
      .filter(({ seq }) => isNear(found.base + seq))
      .map(({ seq, type, id }) => `${found.base + seq} ${type} ${id}`)
      .join(', ')}`,
    `seen: ${seen
      .filter(({ seq }) => isNear(seq))
      .map(({ seq, type, time }) => `${seq} ${type} ${time}`)
      .join(', ')}`,
    ...connections.filter(({ from, to }) => from <= last + 5 && to >= first - 5).map((one) => JSON.stringify(one)),
  ]
  process.stdout.write(`${lines.join('\n  ')}\n`)
}

async function keyOf({ gateways, token }: Deployment): Promise<string> {
  const json = { name: 'event-cuts' }
  const { body } = await ask(gateways[0]!.url, 'POST /api/users/admin/api-keys', { token, json })
  return String(body['key'])
}

async function registerNode({ gateways, token }: Deployment): Promise<void> {
  const { url } = gateways[0]!
  const { body } = await ask(url, 'POST /api/cluster/nodes', {
    token,
    json: asNode('hv1', host!),
    headers: { prefer: 'wait=60' },
  })
  if (body['state'] !== 'succeeded') throw new Error(`The node was not registered: ${JSON.stringify(body)}`)
  const json = { id: 'images', type: 'dir', node: 'hv1', path: '/var/lib/libvirt/images/pool' }
  await ask(url, 'POST /api/storage/pools', { token, json })
}

/** Samples of metrics and other topics are in the stream too. */
const isFollowed = ({ type }: Kept) => followedTopics.includes(events[type as EventType].topic)

/** What there is before the first event that counts, and its place. */
async function beginning(url: string, token: string): Promise<{ from: number; known: Folded }> {
  const socket = await openSocket(url, {
    headers: { authorization: `Bearer ${token}` },
    first: { topics: ['operations'] },
  })
  const { seq: from } = await socket.next('Subscribed')
  socket.socket.close()
  return { from, known: await stateOf(url, token) }
}

async function stateOf(url: string, token: string): Promise<Folded> {
  const vms = await everything(url, token, '/api/vms')
  const operations = await everything(url, token, '/api/operations')
  const known = fold({ vms: {}, operations: {} }, [])
  for (const { id, status } of vms) known.vms[String(id)] = String(status)
  for (const { id, state, version } of operations)
    known.operations[String(id)] = `${String(state)} at ${String(version)}`
  return fold(known, [])
}

/** The state of the server, once nothing is under way any more. */
async function settled(url: string, token: string): Promise<Folded | null> {
  const state = await stateOf(url, token)
  return Object.values(state.operations).some((one) => /^(queued|running|cancelling)/.test(one)) ? null : state
}

const unsettled = async (url: string, token: string): Promise<string> =>
  JSON.stringify(
    (await everything(url, token, '/api/operations')).filter(({ state }) =>
      ['queued', 'running', 'cancelling'].includes(String(state)),
    ),
  )

const counted = (sorts: Sort[]) =>
  Object.fromEntries([...new Set(sorts)].toSorted().map((sort) => [sort, sorts.filter((each) => each === sort).length]))

type Judged = ReturnType<typeof judge>

/** What a client saw, against what the stream holds. */
function judge(
  { name, seen, resyncs, endings }: Follower,
  kept: Kept[],
  { from, known }: { from: number; known: Folded },
) {
  const words = ({ type, data }: { type: string; data: unknown }) => JSON.stringify([type, data])
  // A place is JetStream's own, and something that is the same for the whole stream.
  const first = kept.findIndex((event) => seen[0] && words(event) === words(seen[0]))
  const base = (seen[0]?.seq ?? 0) - (kept[first]?.seq ?? 0)
  const expected = new Map(kept.filter(({ seq }) => base + seq > from).map((event) => [base + event.seq, event]))
  const places = seen.map(({ seq }) => seq)
  const had = new Set(places)
  return {
    name,
    base,
    seen: seen.length,
    gaps: [...expected.keys()].filter((seq) => !had.has(seq)),
    doubles: places.filter((seq, index) => index > 0 && seq <= places[index - 1]!),
    strange: seen.filter((event) => !expected.has(event.seq) || words(expected.get(event.seq)!) !== words(event)),
    resyncs,
    refusals: endings.filter((ending) => /4401|4429|40\d ended/.test(ending)),
    state: fold(known, seen),
  }
}
