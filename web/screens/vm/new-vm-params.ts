import { seedOf } from './cloud-init.tsx'

type Params = Record<string, unknown>
const seedFields = ['hostname', 'user', 'ssh_keys', 'packages']

/** Splits the values of the form into the VM and its cloud-init seed, if there is one. */
export function vmOf(values: Params): { vm: Params; seed: Params | undefined } {
  const { pool, size, image, network, boot, ...rest } = values
  const vm: Params = Object.fromEntries(Object.entries(rest).filter(([key]) => !seedFields.includes(key)))
  vm['disks'] = pool ? [{ pool, ...(size !== undefined && { size }), ...(image !== undefined && { image }) }] : []
  vm['nics'] = network ? [{ network }] : []
  const { kernel } = (boot ?? {}) as { kernel?: string }
  if (kernel) vm['boot'] = boot
  const given = seedOf(
    Object.fromEntries(seedFields.filter((key) => values[key] !== undefined).map((key) => [key, values[key]])),
  )
  return { vm, seed: Object.keys(given).length > 0 ? given : undefined }
}
