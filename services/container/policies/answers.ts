import type { Params, Result } from '#shared/contract/contract.ts'
import type { networkPolicies } from '#shared/contracts/container/network-policies.ts'
import { invalid } from '#shared/errors.ts'
import { reachAll } from '#shared/nodes/nodes.ts'
import { fixedAddresses } from '../networks/fixed-addresses.ts'
import { canonical, familyOf } from './addresses.ts'
import { type Changes, requireValid } from './apply.ts'
import { gapsFor } from './gaps.ts'
import { containerPath, type Everything, gather, vmPath } from './gather.ts'
import { judgeOf, type Side } from './judge.ts'
import { policyRecords } from './models.ts'
import { counterOf } from './nft/lines.ts'
import { refusalOf, trackedFlows } from './nft/kernel.ts'
import { readCounters, readDrops } from './nft/listing.ts'
import { rulesetOf } from './nft/ruleset.ts'
import { wholeText } from './nft/text.ts'
import { endpointsFor, worldOf } from './views.ts'
import type { Flow, Policy } from './world.ts'

type Contract = typeof networkPolicies
type Explained = Result<Contract, 'explain'>['flows'][number]

const gatherNow = async () => gather(await reachAll(), await fixedAddresses())

/** The addresses that a word stands for, each with its node if it is a container or VM. */
function endsOf(word: string, field: string, { found }: Everything): { address: string; node: string | null }[] {
  const address = canonical(word)
  if (address !== null) return [{ address, node: null }]
  const one = found.find(({ endpoint }) => [containerPath(word), vmPath(word)].includes(endpoint.id))
  if (!one) throw invalid(field, 'must be the id of a container or VM, or an address')
  if (one.endpoint.addresses.length === 0)
    throw invalid(field, `no address of '${word}' is known${one.gap ? `: ${one.gap}` : ''}`)
  return one.endpoint.addresses.map((address) => ({ address, node: one.node }))
}

/** Egress is judged as the node of the source sees it, ingress as that of the destination does. */
function explainFlow(
  policies: readonly Policy[],
  everything: Everything,
  flow: Flow,
  nodes: { from: string | null; to: string | null },
): Explained {
  const holder = (address: string) =>
    everything.found.find(({ endpoint }) => endpoint.addresses.includes(address))?.node ?? null
  const side = (node: string | null, key: 'egress' | 'ingress'): Side =>
    judgeOf(policies, worldOf(node ?? '', everything))(flow)[key]
  const egress = side(nodes.from ?? holder(flow.from), 'egress')
  const ingress = side(nodes.to ?? holder(flow.to), 'ingress')
  return { ...flow, allowed: egress.allowed && ingress.allowed, egress, ingress }
}

export async function explain({
  from,
  to,
  protocol,
  port,
}: Params<Contract, 'explain'>): Promise<Result<Contract, 'explain'>> {
  const isPing = protocol === 'ICMP'
  if (!isPing && port === undefined) throw invalid('port', 'is required for TCP, UDP and SCTP')
  const everything = await gatherNow()
  const policies: Policy[] = await policyRecords.all()
  const [sources, targets] = [endsOf(from, 'from', everything), endsOf(to, 'to', everything)]
  const flows = sources.flatMap((source) =>
    targets
      .filter(({ address }) => familyOf(address) === familyOf(source.address))
      .map((target) => {
        const name = isPing && familyOf(source.address) === 6 ? 'icmpv6' : protocol.toLowerCase()
        const flow = { from: source.address, to: target.address, protocol: name, port: isPing ? null : port! }
        return explainFlow(policies, everything, flow, { from: source.node, to: target.node })
      }),
  )
  if (flows.length === 0) throw invalid('to', `has no address of a family that '${from}' has`)
  return { allowed: flows.every(({ allowed }) => allowed), flows }
}

const plain = (node: string, { from, to, protocol, port }: Flow) => ({ node, from, to, protocol, port })

const byId = <T extends { id: string }>(all: readonly T[]) => new Map(all.map((one) => [one.id, one]))

/** All rules of a node with these policies, as one input of nft. */
function rulesFor(
  node: string,
  scopes: Parameters<typeof rulesetOf>[0],
  policies: readonly Policy[],
  everything: Everything,
): string {
  const rules = rulesetOf(scopes)
  rules.update({ policies: byId(policies), endpoints: byId(endpointsFor(node, everything)) })
  return wholeText(rules.tables, 'Preview of network policies of Horcrux')
}

/** Judges the connections and the refused attempts of now, before and after a change. */
export async function preview(changes: Changes): Promise<Result<Contract, 'preview'>> {
  requireValid(changes)
  const before: Policy[] = await policyRecords.all()
  const changed = new Set([...changes.delete, ...changes.policies.map(({ id }) => id)])
  const after = [...before.filter(({ id }) => !changed.has(id)), ...changes.policies]
  const nodes = await reachAll()
  const everything = await gather(nodes, await fixedAddresses())
  const result: Result<Contract, 'preview'> = { cut: [], opened: [], gaps: gapsFor(after, everything) }
  for (const { node, host } of nodes.filter(({ node: { id } }) => everything.networks.has(id))) {
    const world = worldOf(node.id, everything)
    const refusal = await refusalOf(host, rulesFor(node.id, world.scopes, after, everything))
    if (refusal !== null)
      result.gaps.push({ node: node.id, resource: null, reason: `Its kernel refuses the rules: ${refusal}` })
    const [judgedBefore, judgedAfter] = [judgeOf(before, world), judgeOf(after, world)]
    for (const flow of await trackedFlows(host))
      if (judgedBefore(flow).allowed && !judgedAfter(flow).allowed) result.cut.push(plain(node.id, flow))
    for (const flow of await readDrops(host))
      if (!judgedBefore(flow).allowed && judgedAfter(flow).allowed) result.opened.push(plain(node.id, flow))
  }
  return result
}

export async function drops({ node: only }: Params<Contract, 'drops'>): Promise<Result<Contract, 'drops'>> {
  const policies: Policy[] = await policyRecords.all()
  const nodes = (await reachAll()).filter(({ node }) => only === undefined || node.id === only)
  const everything = await gather(nodes, await fixedAddresses())
  const result: Result<Contract, 'drops'> = { flows: [], policies: [], unreachable: [...everything.unreachable.keys()] }
  for (const { node, host } of nodes.filter(({ node: { id } }) => everything.networks.has(id))) {
    const judge = judgeOf(policies, worldOf(node.id, everything))
    for (const { direction, packets, bytes, ...flow } of await readDrops(host)) {
      const by = judge(flow)[direction === 'Egress' ? 'egress' : 'ingress'].isolated_by
      result.flows.push({ ...plain(node.id, flow), direction, packets, bytes, policies: by })
    }
    const counters = await readCounters(host)
    for (const { id } of policies) {
      const counted = (['Ingress', 'Egress'] as const).flatMap(
        (direction) => counters.get(counterOf(id, direction)) ?? [],
      )
      if (counted.length === 0) continue
      const sum = (key: 'packets' | 'bytes') => counted.reduce((total, one) => total + one[key], 0)
      result.policies.push({ node: node.id, policy: id, packets: sum('packets'), bytes: sum('bytes') })
    }
  }
  return result
}
