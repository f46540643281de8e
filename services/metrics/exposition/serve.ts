import type { Format } from '#shared/runtime/exposition.ts'
import { addToPage } from '#shared/service/metrics-page.ts'
import type { Fleet } from '../collect/fleet.ts'
import { ringOf } from '../collect/subjects.ts'
import { subjectsText } from './page.ts'

/** Samples come every five seconds at most: a page is made again after this time. Milliseconds. */
const keptMs = 1000

/** Adds the nodes, VMs and containers to the page for Prometheus. No guest is asked for it. @returns removes them */
export function exposeFleet(fleet: Fleet): () => void {
  const kept = new Map<Format, { at: number; text: string }>()
  return addToPage((format) => {
    const now = Date.now()
    const known = kept.get(format)
    if (known && Math.abs(now - known.at) < keptMs) return known.text
    const nodes = [...fleet.nodes.values()].map(({ node: { id, name } }) => {
      const subject = `nodes/${id}` as const
      return { subject, ring: ringOf(subject), info: { name } }
    })
    const vms = [...fleet.vms.values()].map(({ id, name, node }) => {
      const subject = `vms/${id}` as const
      return { subject, ring: ringOf(subject), info: { name, node } }
    })
    const containers = [...fleet.containers.values()].map(({ id, name, node, runtime }) => {
      const subject = `containers/${id}` as const
      return { subject, ring: ringOf(subject), info: { name, node, runtime } }
    })
    const text =
      subjectsText('nodes', nodes, format, now) +
      subjectsText('vms', vms, format, now) +
      subjectsText('containers', containers, format, now)
    kept.set(format, { at: now, text })
    return text
  })
}
