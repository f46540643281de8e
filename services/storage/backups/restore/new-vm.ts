import { fieldsWithValue } from '#shared/contract/fields-with-value.ts'
import type { Params } from '#shared/contract/contract.ts'
import type { vms } from '#shared/contracts/vm/vms.ts'
import type { VmManifest } from '../store/manifest.ts'

type NewVm = Params<typeof vms, 'create'>
export type NewDisk = { pool: string; volume: string }

const isMac = (entry: string) => entry.includes(':')

/** The hardware of a VM as it was at a backup. */
type Described = Pick<VmManifest, 'config' | 'hypervisor' | 'vm'> & {
  disks: Pick<VmManifest['disks'][number], 'bus' | 'cache'>[]
}

/** The request for a VM with the hardware of a backup, on disks that are restored already. */
export function newVmOf(
  { vm, config, disks, hypervisor }: Described,
  {
    id,
    name,
    node,
    keepMacs,
    volumes,
  }: { id: string; name: string; node: string; keepMacs: boolean; volumes: NewDisk[] },
): NewVm {
  const { nics, iso: _, boot, boot_order, autostart: _a, video, ...hardware } = config
  const order = keepMacs ? boot_order : (boot_order?.filter((entry) => !isMac(entry)) ?? null)
  return {
    id,
    name,
    node,
    description: vm.description,
    hypervisor,
    tags: vm.tags,
    ...fieldsWithValue({ ...hardware, boot, boot_order: order?.length === 0 ? null : order }),
    video,
    nics: nics.map(({ mac, network, bridge, model }) => ({
      ...fieldsWithValue({ network, bridge }),
      ...(keepMacs && { mac }),
      model,
    })),
    disks: disks.map(({ bus, cache }, index) => ({
      ...volumes[index]!,
      bus,
      cache: cache === 'default' ? 'none' : cache,
    })),
    // The contract of new VMs checks it: an adopted guest may have hardware that no new one can be given.
  } as unknown as NewVm
}
