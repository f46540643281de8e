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

/** The request as one: the VM, and under `cloud_init` the seed that is given to it after its creation. */
export function requestOf(values: Params): Params {
  const { vm, seed } = vmOf(values)
  return { ...vm, ...(seed && { cloud_init: seed }) }
}

/** The values of the form from a request. The form has one disk and one NIC: `requestOf` of them tells what is left out. */
export function valuesOf(request: Params): Params {
  const { disks, nics, cloud_init: seed, ...rest } = request
  const [disk] = (disks ?? []) as Params[]
  const [nic] = (nics ?? []) as Params[]
  const { pool, size, image } = disk ?? {}
  return { ...rest, pool, size, image, network: nic?.['network'], ...(seed as Params | undefined) }
}
