import { NotFoundError, UnavailableError, type Violation } from '#shared/errors.ts'
import type { Api } from '#shared/nodes/lxd/client.ts'
import type { LxdEngine, LxdKind } from '#shared/nodes/lxd/engine.ts'
import type { Described } from '../guest.ts'

type Server = {
  api_extensions: string[]
  environment: { driver: string; server_version: string; architectures: string[] }
}

export const serverOf = (api: Api) => api.get<Server>('/1.0')

/** True when the server can start guests with a BIOS; without this extension it starts with UEFI only. */
export const hasCsm = ({ api_extensions }: Server) => api_extensions.includes('security_csm')

/**
 * The reason that an engine runs no virtual machines, in its own words; null when it does. The source is its warnings
 * ("Instance type not operational").
 */
export async function whyNoGuests(api: Api): Promise<string | null> {
  const { environment } = await serverOf(api)
  if (environment.driver.includes('qemu')) return null
  const warnings = await api.get<{ type: string; last_message: string }[] | null>('/1.0/warnings?recursion=1')
  const told = warnings?.find(({ type }) => type === 'Instance type not operational')
  return told?.last_message ?? 'its driver for QEMU is not there'
}

/** The engine's storage pool for the root disk of an instance: the default profile's, else the first. */
export async function rootPoolOf(api: Api): Promise<string | null> {
  const profile = await api.get<{ devices: Record<string, Record<string, string>> }>('/1.0/profiles/default')
  const root = Object.values(profile.devices).find(({ type, path }) => type === 'disk' && path === '/')
  // Incus says null where LXD says that there is none.
  const pools = await api.get<string[] | null>('/1.0/storage-pools')
  return root?.['pool'] ?? pools?.[0]?.split('/').at(-1) ?? null
}

const instanceName = /^[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/

/** The hardware that no engine of this kind has. */
function lacking(kind: LxdKind, wanted: Described): Violation[] {
  const violations: Violation[] = []
  const refuse = (field: string, code: string, message: string) => violations.push({ field, code, message })
  const chosen = `${kind} chooses it by itself`
  if (!instanceName.test(wanted.name))
    refuse('name', 'invalid', `${kind} names its instances with 1 to 63 letters, digits and hyphens, a letter first`)
  if (wanted.boot) refuse('boot', 'unsupported', `${kind} boots from disks and ISO images only`)
  for (const [index, { bus, format, cache }] of wanted.disks.entries()) {
    if (bus === 'sata') refuse(`disks.${index}.bus`, 'unsupported', `${kind} has no SATA disks: take virtio or scsi`)
    if (format !== 'raw') refuse(`disks.${index}.format`, 'unsupported', `${kind} takes only raw volumes`)
    if (cache !== 'writeback' && cache !== 'default') refuse(`disks.${index}.cache`, 'unsupported', chosen)
  }
  for (const [index, { model }] of wanted.nics.entries())
    if (model !== 'virtio') refuse(`nics.${index}.model`, 'unsupported', `${kind} has only virtio`)
  for (const field of ['balloon', 'cpu_model', 'topology', 'max_cpus', 'boot_order'] as const)
    if (wanted[field] !== null) refuse(field, 'unsupported', chosen)
  if (wanted.graphics.length > 0) refuse('graphics', 'unsupported', `${kind} has no displays that Horcrux shows`)
  if (wanted.video !== 'none') refuse('video', 'unsupported', chosen)
  return violations
}

/** Lists everything that LXD or Incus of a node cannot give a guest, at once. */
export async function check(kind: LxdKind, engine: LxdEngine, wanted: Described): Promise<Violation[]> {
  const violations = lacking(kind, wanted)
  const refuse = (field: string, code: string, message: string) => violations.push({ field, code, message })
  try {
    const api = await engine.api()
    const server = await serverOf(api)
    const { environment } = server
    if (wanted.firmware === 'bios' && !hasCsm(server))
      refuse('firmware', 'unsupported', `${api.name} starts with UEFI only`)
    const why = await whyNoGuests(api)
    if (why !== null) refuse('hypervisor', 'unsupported', `${api.name} runs no virtual machines: ${why}`)
    if (!environment.architectures.includes(wanted.architecture))
      refuse('architecture', 'unsupported', `${api.name} has only ${environment.architectures.join(', ')}`)
    if ((await rootPoolOf(api)) === null)
      refuse('hypervisor', 'unsupported', `${api.name} has no storage pool: make one with \`${kind} admin init\``)
  } catch (error) {
    if (!(error instanceof UnavailableError || error instanceof NotFoundError)) throw error
    refuse('hypervisor', 'unavailable', error.message)
  }
  return violations
}
