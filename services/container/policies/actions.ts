import { call } from '#shared/bus/call.ts'
import { permissions } from '#shared/contracts/access/permissions.ts'
import { networkPolicies, type NetworkPolicy } from '#shared/contracts/container/network-policies.ts'
import { ValidationError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import { reachAll } from '#shared/nodes/nodes.ts'
import { implement } from '#shared/service/implement.ts'
import { fixedAddresses } from '../networks/fixed-addresses.ts'
import { drops, explain, preview } from './answers.ts'
import { applyChanges, confirm, fieldsOf, type Given, requireSettled } from './apply.ts'
import { gapsFor } from './gaps.ts'
import { type Everything, gather } from './gather.ts'
import { isolating } from './isolation.ts'
import { enforcedNodes, policyRecords, type PolicyRecord } from './models.ts'
import { syncPolicies } from './sync.ts'
import { violationsOfPolicy } from './violations.ts'

const pathOf = (id: string) => `/api/network-policies/${id}`

/** A policy with those that it isolates, and the gaps: those of them, and those of whole nodes. */
function viewOf(
  { pending: _, ...policy }: PolicyRecord,
  everything: Everything,
  ofNodes: NetworkPolicy['gaps'],
): NetworkPolicy {
  const selects = everything.found
    .filter(({ endpoint }) =>
      (['Ingress', 'Egress'] as const).some((one) => isolating([policy], endpoint, one).length > 0),
    )
    .map(({ endpoint }) => endpoint.id)
  const gaps = [...gapsFor([policy], everything).filter(({ resource }) => resource !== null), ...ofNodes]
  return { ...policy, selects, enforced: gaps.length === 0, gaps }
}

async function viewsOf(policies: readonly PolicyRecord[]): Promise<NetworkPolicy[]> {
  if (policies.length === 0) return []
  const everything = await gather(await reachAll(), await fixedAddresses())
  const ofNodes = (await enforcedNodes.all()).flatMap(({ gaps = [] }) =>
    gaps.filter(({ resource }) => resource === null),
  )
  return policies.map((policy) => viewOf(policy, everything, ofNodes))
}

const viewOfOne = async (policy: PolicyRecord): Promise<NetworkPolicy> => (await viewsOf([policy]))[0]!

function requireValid(given: Given): void {
  const found = violationsOfPolicy(given)
  if (found.length > 0) throw new ValidationError(found)
}

export const policyService = implement(networkPolicies, {
  list: async (query, { maySee }) => {
    const page = await policyRecords.list(query, maySee)
    return { ...page, data: await viewsOf(page.data) }
  },
  get: async ({ id }) => viewOfOne(await policyRecords.require(id)),

  create: async ({ id = newId(), ...given }) => {
    requireValid({ id, ...given })
    const at = now()
    const made = await policyRecords.insert({ id, ...given, created_at: at, updated_at: at })
    await syncPolicies()
    return viewOfOne(made)
  },
  replace: async (given) => {
    requireValid(given)
    const changed = await policyRecords.change(given.id, (policy) => {
      requireSettled(policy)
      return { set: fieldsOf(given) }
    })
    await syncPolicies()
    return viewOfOne(changed)
  },
  delete: async ({ id }) => {
    const policy = await policyRecords.requireForChange(id)
    requireSettled(policy)
    await call(permissions, 'forget', { path: pathOf(id) })
    await policyRecords.remove(policy)
    await syncPolicies()
    return null
  },

  apply: ({ confirm_within, ...changes }) => applyChanges(changes, confirm_within),
  confirm: ({ id }) => confirm(id),
  preview,
  explain,
  drops,
})
