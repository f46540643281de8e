import { createInterface } from 'node:readline'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { services } from '../../../bin/services.ts'
import { asNode, clear, scenarios } from '../faults/scenarios.ts'
import { hostsIn } from '../hosts/hosts.ts'
import { startHorcrux } from '../product/horcrux.ts'
import { done } from '../product/run-operation.ts'
import { beginAs, endOf, type Beginning } from './operations.ts'
import { startSeparate } from './separate.ts'

/** A line of the output: how long an operation took, in milliseconds, and its end. */
export type Timed = { name: string; ms: number; state: string; error: unknown }

/**
 * Horcrux in one process, or in separate processes with separate identities, on the lab hosts of a folder: `one DIR` or
 * `separate DIR`. Does the scenario of each line on standard input, and prints how long its operation took.
 */
if (import.meta.main) {
  const [way, dir] = process.argv.slice(2) as [string, string]
  const [first, second] = await hostsIn(dir)
  const horcrux = way === 'one' ? await inOneProcess() : await startSeparate(first!, { replicas: 1, isOrdinary: true })
  const all = scenarios(second!, first!)
  process.stdout.write('ready\n')

  async function inOneProcess(): Promise<Beginning & { stop: () => Promise<void> }> {
    const product = await startHorcrux({ services: services.filter(({ name }) => name !== 'gateway') })
    await done(product, nodes, 'register', asNode('hv1', first!))
    const path = '/var/lib/libvirt/images/pool'
    await product.call(pools, 'create', { id: 'images', type: 'dir', node: 'hv1', path })
    return product
  }

  for await (const name of createInterface({ input: process.stdin })) {
    const { before, params, kind = name } = all[name]!
    await before?.(horcrux)
    const begin = performance.now()
    // Over the bus in both cases: the gateway is the same for both.
    const operation = await beginAs({ call: horcrux.call }, kind, params)
    const { state, error } = await endOf(horcrux, operation)
    const ms = performance.now() - begin
    await clear(horcrux)
    process.stdout.write(`${JSON.stringify({ name, ms, state, error } satisfies Timed)}\n`)
  }
  await horcrux.stop()
  process.exit(0)
}
