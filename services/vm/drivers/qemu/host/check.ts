import type { Nic } from '#shared/contracts/vm/hardware.ts'
import { NotFoundError, type Violation } from '#shared/errors.ts'
import { packageOf } from '#shared/nodes/host/packages.ts'
import { libvirtOf } from '#shared/nodes/libvirt/engine.ts'
import { isNetworkActive } from '#shared/nodes/libvirt/client/host-facts.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import type { Defaults } from '../../driver.ts'
import type { Described } from '../../guest.ts'
import { accelFor, type Capabilities, capabilitiesOf } from './capabilities.ts'
import { platforms } from './platforms.ts'

/** Values that suit a node, for a guest that does not say them. */
export async function defaults(reached: Reached, { architecture }: Pick<Described, 'architecture'>): Promise<Defaults> {
  const accel = accelFor(reached, architecture)
  const { modes = [] } = (await capabilitiesOf(reached, architecture)) ?? {}
  const best = accel === 'kvm' ? 'host-model' : 'maximum'
  return {
    accel,
    cpu_model: modes.includes(best) ? best : null,
    firmware: platforms[architecture].usual,
    graphics: ['vnc'],
    video: 'virtio',
  }
}

/** Lists everything that a node lacks for such a guest, with Debian's package that brings it. */
export async function check(reached: Reached, vm: Described): Promise<Violation[]> {
  const [capabilities, ...nics] = await Promise.all([
    capabilitiesOf(reached, vm.architecture),
    ...vm.nics.map((nic, index) => checkNic(reached, nic, `nics.${index}`)),
  ])
  const where = `node '${reached.node.id}'`
  if (capabilities) return [...checkMachine(capabilities, vm, where), ...nics.flat()]
  const debian = packageOf(platforms[vm.architecture].emulator)
  const message = `${where} has no QEMU for ${vm.architecture}; Debian's package ${debian} brings it`
  return [{ field: 'architecture', code: 'unsupported', message }, ...nics.flat()]
}

/** Compares a guest with the capabilities of a node's QEMU. */
export function checkMachine(has: Capabilities, vm: Described, where: string): Violation[] {
  const violations: Violation[] = []
  const miss = (field: string, message: string) => violations.push({ field, code: 'unsupported', message })
  const platform = platforms[vm.architecture]
  const file = platform.firmware[vm.firmware]
  if (file === undefined)
    miss('firmware', `${vm.architecture} has only ${Object.keys(platform.firmware).join(' and ')}`)
  else if (file !== null && !has.hasUefi)
    miss('firmware', `${where} has no UEFI for ${vm.architecture}; Debian's package ${packageOf(file)} brings it`)
  checkModel(has, vm.cpu_model, where, miss)
  if (vm.topology && has.modes.length + has.models.size === 0)
    miss('topology', `libvirt on ${where} cannot say the processors of ${vm.architecture}`)
  const cpus = vm.max_cpus ?? vm.cpus
  if (cpus > has.maxCpus)
    miss(vm.max_cpus === null ? 'cpus' : 'max_cpus', `QEMU on ${where} gives at most ${has.maxCpus}`)
  for (const [index, { bus }] of vm.disks.entries())
    if (!platform.buses.includes(bus) || !has.buses.includes(bus))
      miss(`disks.${index}.bus`, `${vm.architecture} has only ${platform.buses.join(', ')}`)
  return violations
}

const modes = ['host-model', 'host-passthrough', 'maximum']

function checkModel(
  has: Capabilities,
  model: string | null,
  where: string,
  miss: (field: string, message: string) => unknown,
): void {
  if (model === null || has.modes.includes(model) || has.models.get(model)) return
  const other = [...has.modes, ...[...has.models].filter(([, isUsable]) => isUsable).map(([name]) => name)]
  if (modes.includes(model))
    miss('cpu_model', `${where} cannot do ${model}; it can ${has.modes.join(', ') || 'none of them'}`)
  else if (has.models.has(model)) miss('cpu_model', `the processor of ${where} lacks features of ${model}`)
  else
    miss('cpu_model', `${where} knows no model ${model}; it has ${other.slice(0, 40).join(', ') || 'none to choose'}`)
}

async function checkNic(reached: Reached, { network, bridge }: Nic, field: string): Promise<Violation[]> {
  const { host, node } = reached
  if (bridge !== null) {
    const there = await host.stat(`/sys/class/net/${bridge}/bridge`)
    if (there) return []
    return [{ field: `${field}.bridge`, code: 'not_found', message: `node '${node.id}' has no bridge '${bridge}'` }]
  }
  if (network === null) return []
  const say = (code: string, message: string) => [{ field: `${field}.network`, code, message }]
  try {
    if (await isNetworkActive(libvirtOf(reached), network)) return []
    return say('inactive', `network '${network}' of node '${node.id}' is not active: start it with virsh net-start`)
  } catch (error) {
    if (error instanceof NotFoundError) return say('not_found', `node '${node.id}' has no network '${network}'`)
    throw error
  }
}
