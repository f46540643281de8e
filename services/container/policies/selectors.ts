import type { Labels, Selector } from '#shared/contracts/container/network-policies.ts'

type Requirement = NonNullable<Selector['match_expressions']>[number]

const valueOf = (labels: Labels, key: string) => (Object.hasOwn(labels, key) ? labels[key] : undefined)

/** NotIn and DoesNotExist match a key that is missing, as in Kubernetes. */
function meets(labels: Labels, { key, operator, values = [] }: Requirement): boolean {
  const value = valueOf(labels, key)
  if (operator === 'Exists') return value !== undefined
  if (operator === 'DoesNotExist') return value === undefined
  const isListed = value !== undefined && values.includes(value)
  return operator === 'In' ? isListed : !isListed
}

/** True when labels meet all requirements of a selector; an empty selector has none. */
export const selects = ({ match_labels = {}, match_expressions = [] }: Selector, labels: Labels): boolean =>
  Object.entries(match_labels).every(([key, value]) => valueOf(labels, key) === value) &&
  match_expressions.every((requirement) => meets(labels, requirement))
