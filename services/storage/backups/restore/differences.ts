import type { Difference } from '#shared/contracts/storage/backups.ts'
import type { VmManifest } from '../store/manifest.ts'

/** The new virtual machine that a backup becomes. */
export type Target = {
  name: string
  node: string
  keepMacs: boolean
  disks: { id: string; pool: string; format: string }[]
}

/** Places of disks as a new VM gets them, in order by bus. */
export function placesOf(disks: readonly { bus: string }[]): string[] {
  const counts = new Map<string, number>()
  return disks.map(({ bus }) => {
    const prefix = bus === 'virtio' ? 'vd' : 'sd'
    const count = counts.get(prefix) ?? 0
    counts.set(prefix, count + 1)
    return `${prefix}${String.fromCodePoint(97 + count)}`
  })
}

/** Everything of a restored VM that is otherwise than it was at the backup. */
export function differencesOf(manifest: VmManifest, { name, node, keepMacs, disks }: Target): Difference[] {
  const found: Difference[] = []
  const differ = (field: string, backup: string, restored: string, reason: string) => {
    if (backup !== restored) found.push({ field, backup, restored, reason })
  }
  const { config } = manifest
  differ('name', manifest.vm_name, name, 'names are unique')
  differ('node', manifest.node, node, 'as asked for')
  if (!keepMacs)
    for (const [index, { mac }] of config.nics.entries())
      differ(`nics.${index}.mac`, mac, 'a new address', 'two virtual machines with one address disturb each other')
  for (const [index, disk] of manifest.disks.entries()) {
    const target = disks[index]!
    differ(`disks.${disk.id}.pool`, disk.pool, target.pool, 'as asked for')
    differ(`disks.${disk.id}.format`, disk.format, target.format, 'the storage pool has no other')
    differ(`disks.${disk.id}.id`, disk.id, target.id, 'places are given in order')
  }
  if (config.iso) differ('iso', config.iso, 'none', 'media are not in a backup')
  if (config.autostart) differ('autostart', 'true', 'false', 'its original may start as well')
  return found
}
