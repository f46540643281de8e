import { setTimeout as delay } from 'node:timers/promises'
import { ask, type Answered } from '../clients/http.ts'

type Options = { urls: string[]; token: string; random: () => number }

/** Makes, starts, stops and deletes small VMs on the node hv1, one after the other, also while gateways go away. */
export function startVmLoad({ urls, token, random }: Options): { stop: () => Promise<void>; done: string[] } {
  const done: string[] = []
  let isOver = false
  let asked = 0
  const insist = async (line: string, json?: unknown): Promise<Answered | null> => {
    const headers = line.startsWith('POST') ? { 'idempotency-key': `vm-load/${asked++}` } : {}
    for (let tries = 0; tries < 200; tries++) {
      const answer = await ask(urls[tries % urls.length]!, line, { token, json, headers }).catch(() => null)
      if (answer && answer.status < 300) {
        if (typeof answer.body['id'] === 'string') return answer
        throw new Error(`${line}: ${answer.status} names no operation: ${JSON.stringify(answer)}`)
      }
      // On a repeated DELETE, 404 means that the first try succeeded.
      if (answer?.status === 404 && tries > 0 && line.startsWith('DELETE')) return null
      if (answer && ![409, 503].includes(answer.status)) throw new Error(`${line}: ${answer.status} ${answer.text}`)
      await delay(200)
    }
    throw new Error(`${line} was not accepted in 200 tries`)
  }
  /** Has an operation done. */
  const work = async (line: string, json?: unknown) => {
    const accepted = await insist(line, json)
    for (const id = String(accepted?.body['id']); accepted;) {
      const { body } = (await insist(`GET /api/operations/${id}/wait?timeout=3`))!
      if (body['ended_at'] === null) continue
      done.push(line)
      if (body['state'] !== 'succeeded') throw new Error(`${line}: ${JSON.stringify(body['error'])}`)
      return
    }
  }
  const run = async () => {
    for (let number = 0; !isOver; number++) {
      const id = `m${number}`
      const disks = [{ pool: 'images', size: 2 ** 30 }]
      await work('POST /api/vms', { id, name: id, memory: 128, cpus: 1, node: 'hv1', disks })
      // The first has all of a life, however few there will be.
      const isFirst = number === 0
      const isStarted = isFirst || random() < 0.4
      if (isStarted) await work(`POST /api/vms/${id}/start`)
      // Every fourth stays, so that there is something to compare.
      if (!isFirst && random() < 0.25) continue
      if (isStarted) await work(`POST /api/vms/${id}/stop`, { force: true })
      await work(`DELETE /api/vms/${id}?purge=true`)
    }
  }
  const running = run()
  running.catch(() => undefined)
  return {
    done,
    stop: () => {
      isOver = true
      return running
    },
  }
}
