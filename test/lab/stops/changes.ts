import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { LabHost } from '../hosts/hosts.ts'
import type { Answered } from '../clients/http.ts'
import type { Part } from '../product/child-process.ts'
import { until } from '../wait.ts'
import { insist, type Request } from './insist.ts'
import type { PlainChange } from './plain-change.ts'
import { plainChanges } from './plain-changes.ts'
import type { Separate } from './separate.ts'
import { partsOf, wake } from './operations.ts'

type Prepared = PlainChange & { name: string; key: string }
/** One change that was asked for: what it was answered in the end. */
type Wish = { name: string; action: string; status: number; text: string }

let rounds = 0

/** Prepares a round: the things that are going to be changed. */
export async function prepare(separate: Separate, names: string[], second: LabHost): Promise<Prepared[]> {
  const round = rounds++
  const make = async (line: string, json?: unknown, token = separate.key): Promise<Answered> => {
    const { last: answer } = await insist(separate, { line, json, token }, randomUUID())
    if (answer.status >= 300) throw new Error(`${line}: ${answer.status} ${answer.text}`)
    if (answer.status === 202) await until(() => hasEnded(separate, String(answer.body['id'])), { what: line })
    return answer
  }
  return Promise.all(
    names.map(async (action) => {
      const name = `${action.replaceAll('.', '-').toLowerCase()}-${round}`
      const made = await plainChanges[action]!({ separate, make, second }, name)
      return { ...made, name: action, key: `${name}-${process.pid}` }
    }),
  )
}

/** Fields that change by themselves: times of checks, use of the disk that a storage pool lies on, health of channels. */
const volatile = /(_at|_bytes|bytes|_seconds|usage|fills|facts|engines|channels|status|latency_ms)$/

const steady = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(steady)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([field]) => !volatile.test(field) || field === 'created_at')
      .map(([field, inner]) => [field, steady(inner)]),
  )
}

/** Asks the last gateway: of gateways, the first one is stopped alone, and the last one is woken first. */
const query = ({ ask, deployment: { gateways } }: Separate, path: string) => ask(`GET ${path}`, {}, gateways.length - 1)

/** The state of the thing that a change is of. Throws while it cannot be read. */
async function stateOf(separate: Separate, { read, pick }: PlainChange): Promise<string> {
  const { status, body, text } = await query(separate, read)
  if (status !== 200 && status !== 404) throw new Error(`GET ${read}: ${status} ${text}`)
  const state = pick ? pick(body) : body
  return JSON.stringify([status, status === 404 ? null : steady(state)])
}

/**
 * Stops processes, asks for changes, has the answered ones followed by a later change of the same thing, and wakes the processes.
 * @param who `one`: another replica answers meanwhile; `all`: one wakes first and does everything, the others wake later
 * @returns what was asked for, and the things that are not as the later change has left them
 */
export async function changeWhileStopped(
  separate: Separate,
  changes: Prepared[],
  { victim, who, forMs }: { victim: string; who: 'one' | 'all'; forMs: number },
): Promise<{ wishes: Wish[]; undone: string[] }> {
  const parts = partsOf(separate, victim)
  const stopped: Part[] = who === 'all' ? parts : parts.slice(0, 1)
  const wishes: Wish[] = []
  const send = async (change: Prepared, request: Request, key: string) => {
    const { last } = await insist(separate, request, key)
    wishes.push({ name: request.line, action: change.name, status: last.status, text: last.text })
    if (last.status === 202) await until(() => hasEnded(separate, String(last.body['id'])), { what: request.line })
    return last
  }
  for (const part of stopped) part.signal('SIGSTOP')
  const left = [...stopped]
  const firsts = changes.map((change) => send(change, change.first, change.key))
  await delay(forMs)
  // With all of them stopped nothing is answered: one has to do it.
  if (who === 'all') await wake(left.splice(-1), 0)
  await Promise.all(firsts)
  await Promise.all(changes.map((change) => send(change, change.later, `${change.key}-later`)))
  const model = await Promise.all(changes.map((one) => until(() => stateOf(separate, one), { what: one.read })))
  await wake(left, 0)
  const undone = new Set<string>()
  // They work through their sockets now.
  for (let look = 0; look < 10; look++) {
    for (const [n, one] of changes.entries()) {
      const state = await until(() => stateOf(separate, one), { what: one.read })
      if (state !== model[n]) undone.add(`${one.name}: ${model[n]} became ${state}`)
    }
    await delay(100)
  }
  for (const { after, key } of changes) if (after) await insist(separate, after, `${key}-after`)
  return { wishes, undone: [...undone] }
}

async function hasEnded(separate: Separate, id: string): Promise<boolean> {
  const { status, body } = await query(separate, `/api/operations/${id}`)
  return status === 200 && body['ended_at'] !== null
}
