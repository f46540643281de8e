import { NotFoundError, UnavailableError, type Violation } from '#shared/errors.ts'
import { type Engine, engineOf } from '#shared/nodes/lxd/client.ts'
import type { EngineKind } from '#shared/nodes/lxd/engine.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import type { Described } from '../driver.ts'

type Server = {
  api_extensions: string[]
  environment: { driver: string; server_version: string; architectures: string[] }
}

export const serverOf = (engine: Engine) => engine.get<Server>('/1.0')

/** Whether the server can start guests of a BIOS; newer ones cannot do without UEFI where they lack it. */
export const hasCsm = ({ api_extensions }: Server) => api_extensions.includes('security_csm')

/**
 * Why an engine runs no virtual machines, in its own words; null when it does. It tells in its warnings
 * ("Instance type not operational").
 */
export async function whyNoGuests(engine: Engine): Promise<string | null> {
  const { environment } = await serverOf(engine)
  if (environment.driver.includes('qemu')) return null
  const warnings = await engine.get<{ type: string; last_message: string }[] | null>('/1.0/warnings?recursion=1')
  const told = warnings?.find(({ type }) => type === 'Instance type not operational')
  return told?.last_message ?? 'its driver for QEMU is not there'
}

/** The engine's storage pool for what it insists on keeping itself of an instance: the default profile's, else its first. */
export async function rootPoolOf(engine: Engine): Promise<string | null> {
  const profile = await engine.get<{ devices: Record<string, Record<string, string>> }>('/1.0/profiles/default')
  const root = Object.values(profile.devices).find(({ type, path }) => type === 'disk' && path === '/')
  // Incus says null where LXD says that there is none.
  const pools = await engine.get<string[] | null>('/1.0/storage-pools')
  return root?.['pool'] ?? pools?.[0]?.split('/').at(-1) ?? null
}

const instanceName = /^[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/

/** What no engine of this kind has. */
function lacking(kind: EngineKind, wanted: Described): Violation[] {
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

/** What is wrong with a guest for LXD or Incus on this node: everything at once. */
export async function check(kind: EngineKind, reached: Reached, wanted: Described): Promise<Violation[]> {
  const violations = lacking(kind, wanted)
  const refuse = (field: string, code: string, message: string) => violations.push({ field, code, message })
  try {
    const engine = await engineOf(reached, kind)
    const server = await serverOf(engine)
    const { environment } = server
    if (wanted.firmware === 'bios' && !hasCsm(server))
      refuse('firmware', 'unsupported', `${engine.name} starts with UEFI only`)
    const why = await whyNoGuests(engine)
    if (why !== null) refuse('hypervisor', 'unsupported', `${engine.name} runs no virtual machines: ${why}`)
    if (!environment.architectures.includes(wanted.architecture))
      refuse('architecture', 'unsupported', `${engine.name} has only ${environment.architectures.join(', ')}`)
    if ((await rootPoolOf(engine)) === null)
      refuse('hypervisor', 'unsupported', `${engine.name} has no storage pool: make one with \`${kind} admin init\``)
  } catch (error) {
    if (!(error instanceof UnavailableError || error instanceof NotFoundError)) throw error
    refuse('hypervisor', 'unavailable', error.message)
  }
  return violations
}
