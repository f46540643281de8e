import type { Peer, PolicyPort, PolicySpec, Selector } from '#shared/contracts/container/network-policies.ts'
import type { Violation } from '#shared/errors.ts'
import { isStrictlyInside, parseCidr } from './addresses.ts'

const violation = (field: string, message: string): Violation => ({ field, code: 'invalid', message })

/** Rule of Kubernetes for names of ports (IANA service names). */
const isPortName = (name: string) => /^[a-z0-9-]{1,15}$/.test(name) && /[a-z]/.test(name) && !/^-|-$|--/.test(name)

function ofPort({ port, end_port }: PolicyPort, field: string): Violation[] {
  const found: Violation[] = []
  if (typeof port === 'string' && !isPortName(port))
    found.push(
      violation(
        `${field}.port`,
        'must be a number, or a name of at most 15 small letters, digits and single hyphens with a letter in it',
      ),
    )
  if (end_port === undefined) return found
  if (typeof port !== 'number') found.push(violation(`${field}.end_port`, 'needs a numeric port'))
  else if (end_port < port) found.push(violation(`${field}.end_port`, 'must not be less than port'))
  return found
}

function ofSelector({ match_expressions = [] }: Selector, field: string): Violation[] {
  return match_expressions.flatMap(({ operator, values = [] }, index) => {
    const at = `${field}.match_expressions.${index}.values`
    if (operator === 'In' || operator === 'NotIn')
      return values.length === 0 ? [violation(at, `must not be empty with ${operator}`)] : []
    return values.length > 0 ? [violation(at, `must be left out with ${operator}`)] : []
  })
}

type Block = NonNullable<Peer['ip_block']>

function ofBlock({ cidr, except = [] }: Block, field: string): Violation[] {
  const whole = parseCidr(cidr)
  const found = whole ? [] : [violation(`${field}.cidr`, 'must be a range of addresses such as 10.0.0.0/8 or fd00::/8')]
  for (const [index, text] of except.entries()) {
    const range = parseCidr(text)
    const at = `${field}.except.${index}`
    if (!range) found.push(violation(at, 'must be a range of addresses such as 10.0.0.0/8 or fd00::/8'))
    else if (whole && !isStrictlyInside(range, whole))
      found.push(violation(at, `must lie in ${cidr} and be smaller than it`))
  }
  return found
}

function ofPeer({ pod_selector, namespace_selector, ip_block }: Peer, field: string): Violation[] {
  const found = [
    ...(pod_selector ? ofSelector(pod_selector, `${field}.pod_selector`) : []),
    ...(namespace_selector ? ofSelector(namespace_selector, `${field}.namespace_selector`) : []),
    ...(ip_block ? ofBlock(ip_block, `${field}.ip_block`) : []),
  ]
  if (!pod_selector && !namespace_selector && !ip_block)
    found.push(violation(field, 'must have a pod_selector, a namespace_selector or an ip_block'))
  if (ip_block && (pod_selector || namespace_selector))
    found.push(violation(`${field}.ip_block`, 'must not stand beside a selector'))
  return found
}

/** Violations of a policy that its schema does not find: the checks of Kubernetes' ValidateNetworkPolicySpec. */
export function violationsOfPolicy({ pod_selector, policy_types = [], ingress = [], egress = [] }: PolicySpec) {
  const found = pod_selector ? ofSelector(pod_selector, 'pod_selector') : []
  if (new Set(policy_types).size < policy_types.length)
    found.push(violation('policy_types', 'must not name a direction twice'))
  const rules = [
    ...ingress.map(({ from, ports }, index) => ({ at: `ingress.${index}`, side: 'from', peers: from, ports })),
    ...egress.map(({ to, ports }, index) => ({ at: `egress.${index}`, side: 'to', peers: to, ports })),
  ]
  for (const { at, side, peers = [], ports = [] } of rules) {
    for (const [index, port] of ports.entries()) found.push(...ofPort(port, `${at}.ports.${index}`))
    for (const [index, peer] of peers.entries()) found.push(...ofPeer(peer, `${at}.${side}.${index}`))
  }
  return found
}
