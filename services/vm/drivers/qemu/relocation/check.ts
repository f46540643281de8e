import { ValidationError, type Violation } from '#shared/errors.ts'
import { domainXml, findDomain, hasManagedSave } from '#shared/nodes/libvirt/client/domain.ts'
import { domainCapabilities, versions } from '#shared/nodes/libvirt/client/host-facts.ts'
import { missingCpuFeatures } from '#shared/nodes/libvirt/client/migration.ts'
import type { HostConnection } from '#shared/nodes/libvirt/connection/host-connection.ts'
import { libvirtOf } from '#shared/nodes/libvirt/engine.ts'
import { reach } from '#shared/nodes/nodes.ts'
import type { Relocation } from '../../relocation.ts'
import { check as checkNode } from '../host/check.ts'
import { hasEmulatedTpm } from '../host/host-state.ts'
import { libvirtAt } from '../libvirt.ts'
import { unlessMissing } from '../state.ts'
import { at, attribute, type Element, elements, parseXml, textOf, writeXml } from '../xml/xml.ts'

/** Devices that belong to the host, or whose state no move carries, with a word for the message. */
const bound: Record<string, string> = {
  hostdev: 'a device of the host',
  shmem: 'memory that it shares with other guests',
  filesystem: 'a folder of the host',
  redirdev: 'a redirected USB device',
  smartcard: 'a smart card of the host',
}

/** The devices in a definition that cannot move. */
export function boundDevices(domain: Element): Violation[] {
  const devices = at(domain, 'devices')
  const found = Object.entries(bound).flatMap(([name, words]) =>
    elements(devices, name).map((each) => {
      const what = attribute(each, 'type')
      return { field: `devices.${name}`, code: 'bound', message: `it has ${words}${what ? ` (${what})` : ''}` }
    }),
  )
  const direct = elements(devices, 'interface').filter((nic) => attribute(nic, 'type') === 'hostdev')
  return [
    ...found,
    ...direct.map(() => ({ field: 'devices.interface', code: 'bound', message: 'it has a network card of the host' })),
  ]
}

/** True for QEMU before 9 in emulation: it can miss changed memory while a guest moves. */
export const losesMemory = (virtType: string | undefined, qemu: string) =>
  virtType !== 'kvm' && Number(qemu.split('.')[0]) < 9

async function clashes(target: HostConnection, node: string, vm: { handle: string; name: string }) {
  const found: Violation[] = []
  const refuse = (field: string, message: string) => found.push({ field, code: 'taken', message })
  if ((await unlessMissing(() => domainXml(target, vm.handle), null)) !== null)
    refuse('vm_id', `node '${node}' has a guest with its UUID ${vm.handle} already`)
  const named = await unlessMissing(() => findDomain(target, vm.name), null)
  if (named && named.uuid !== vm.handle) refuse('name', `node '${node}' has another guest with the name '${vm.name}'`)
  return found
}

type Machine = { arch: string; machine: string; virtType: 'kvm' | 'qemu'; cpu: string | null }

function machineOf(domain: Element): Machine {
  const type = at(domain, 'os', 'type')
  const cpu = at(domain, 'cpu')
  return {
    arch: attribute(type, 'arch') ?? '',
    machine: attribute(type, 'machine') ?? '',
    virtType: attribute(domain, 'type') === 'kvm' ? 'kvm' : 'qemu',
    cpu: cpu && (attribute(cpu, 'mode') ?? 'custom') === 'custom' && textOf(at(cpu, 'model')) ? writeXml(cpu) : null,
  }
}

/** Compares the machine and the processor that a guest runs with, with those that a node can give. */
async function checkMachine(target: HostConnection, node: string, domain: Element): Promise<Violation[]> {
  const { cpu, ...machine } = machineOf(domain)
  try {
    await domainCapabilities(target, machine)
  } catch (error) {
    if (!(error instanceof ValidationError)) throw error
    const message = `node '${node}' does not know the machine ${machine.machine} (${machine.arch}, ${machine.virtType})`
    return [{ field: 'target_node', code: 'machine', message }]
  }
  const missing = cpu === null ? null : await missingCpuFeatures(target, { ...machine, cpu })
  if (missing === null) return []
  return [{ field: 'target_node', code: 'cpu_features', message: `the processor of node '${node}': ${missing}` }]
}

export const check: Relocation['check'] = async (vm, targetId, isLive) => {
  const [source, reached] = await Promise.all([libvirtAt(vm.node), reach(targetId)])
  const target = libvirtOf(reached)
  const violations = [...(await checkNode(reached, vm)), ...(await clashes(target, targetId, vm))]
  const warnings: string[] = []
  const xml = await unlessMissing(() => domainXml(source, vm.handle, { migratable: isLive }), null)
  if (xml === null) return { violations, warnings }
  const domain = parseXml(xml)
  violations.push(...boundDevices(domain))
  if (!isLive) {
    if (hasEmulatedTpm(domain))
      violations.push({
        field: 'devices.tpm',
        code: 'bound',
        message: 'it has an emulated TPM, whose state is moved only while it runs: use live',
      })
    if (await unlessMissing(() => hasManagedSave(source, vm.handle), false))
      violations.push({
        field: 'vm_id',
        code: 'saved',
        message: 'its memory is saved (managed save): start it, or virsh managedsave-remove',
      })
    return { violations, warnings }
  }
  violations.push(...(await checkMachine(target, targetId, domain)))
  const { hypervisor } = await versions(source)
  if (losesMemory(attribute(domain, 'type'), hypervisor))
    warnings.push(
      `It runs in emulation by QEMU ${hypervisor}, which before version 9 can miss memory that the guest writes during a live move, above all while it boots: pause it first, or use offline`,
    )
  return { violations, warnings }
}
