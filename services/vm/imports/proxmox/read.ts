import type { Result } from '#shared/contract/contract.ts'
import type { proxmoxImports } from '#shared/contracts/vm/proxmox-imports.ts'
import { ConflictError, invalid } from '#shared/errors.ts'
import type { Api } from './api.ts'

type Listed = Result<typeof proxmoxImports, 'list'>['data'][number]
type Fields = Record<string, unknown>

/** The configuration of a virtual machine: each value as text, also numbers. */
export type Config = ReadonlyMap<string, string>

/** A virtual machine there, as the plan needs it. */
export type TheirVm = {
  vmid: number
  /** The node there that has it. */
  node: string
  config: Config
  digest: string
  isTemplate: boolean
  /** `stopped`, or what else it is. */
  status: string
  lock: string | null
  snapshots: string[]
}

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null
/** Texts and numbers; the API has some values as either. */
const text = (value: unknown): string | null =>
  typeof value === 'string' || typeof value === 'number' ? String(value) : null
const number = (value: unknown): number | null => {
  const found = text(value)
  return found === null || !Number.isFinite(Number(found)) ? null : Number(found)
}

async function rows(api: Api, path: string, query?: Record<string, string>): Promise<Fields[]> {
  const data = await api.get(path, query)
  if (!Array.isArray(data)) throw new ConflictError(`${api.name} answers ${path} with no list`)
  return data.filter(isFields)
}

async function fields(api: Api, path: string, query?: Record<string, string>): Promise<Fields> {
  const data = await api.get(path, query)
  if (!isFields(data)) throw new ConflictError(`${api.name} answers ${path} with no object`)
  return data
}

export const tagsOf = (tags: unknown): string[] => (text(tags) ?? '').split(/[;,\s]+/).filter(Boolean)

/** The virtual machines of all nodes of the cluster, in the order of their numbers. */
export async function listVms(api: Api): Promise<Listed[]> {
  const all = await rows(api, '/cluster/resources', { type: 'vm' })
  return all
    .filter(({ type }) => type === 'qemu')
    .flatMap((each) => {
      const [vmid, node] = [number(each['vmid']), text(each['node'])]
      if (vmid === null || node === null) return []
      return {
        vmid,
        name: text(each['name']),
        node,
        status: text(each['status']) ?? 'unknown',
        template: number(each['template']) === 1,
        cpus: number(each['maxcpu']),
        memory_bytes: number(each['maxmem']),
        tags: tagsOf(each['tags']),
      }
    })
    .toSorted((a, b) => a.vmid - b.vmid)
}

const pathOf = (node: string, vmid: number) => `/nodes/${encodeURIComponent(node)}/qemu/${vmid}`

/** @throws ValidationError when there is none of this number */
export async function readVm(api: Api, vmid: number): Promise<TheirVm> {
  const found = (await listVms(api)).find((each) => each.vmid === vmid)
  if (!found) throw invalid('vmid', `${api.name} shows the API token no virtual machine ${vmid}`, 'not_found')
  const path = pathOf(found.node, vmid)
  const [config, status, snapshots] = await Promise.all([
    fields(api, `${path}/config`),
    fields(api, `${path}/status/current`),
    rows(api, `${path}/snapshot`),
  ])
  const values = Object.entries(config).flatMap(([key, value]): [string, string][] => {
    const found_text = text(value)
    return found_text === null ? [] : [[key, found_text]]
  })
  return {
    vmid,
    node: found.node,
    config: new Map(values),
    digest: text(config['digest']) ?? '',
    isTemplate: number(config['template']) === 1,
    status: text(status['status']) ?? 'unknown',
    lock: text(status['lock']) ?? text(config['lock']),
    snapshots: snapshots.flatMap(({ name }) => (name === 'current' ? [] : (text(name) ?? []))),
  }
}

/** True when the token sees the tasks of others on a node: by these a start during the copy is noticed. */
export async function seesTasks(api: Api, node: string): Promise<boolean> {
  const path = `/nodes/${node}`
  const { [path]: granted } = await fields(api, '/access/permissions', { path })
  return isFields(granted) && 'Sys.Audit' in granted
}

/** Tasks that leave the disks of a virtual machine as they are. */
const harmless: ReadonlySet<string> = new Set(['vncproxy', 'spiceproxy', 'termproxy', 'qmclone', 'vzdump'])

/** State of a virtual machine there, by which a start or a change is noticed. `tasks`: those that have begun so far. */
export type Mark = { status: string; digest: string; tasks: string[] }

export async function readMark(api: Api, node: string, vmid: number): Promise<Mark> {
  const path = pathOf(node, vmid)
  const query = { vmid: String(vmid), source: 'all', limit: '500' }
  const [config, status, tasks] = await Promise.all([
    fields(api, `${path}/config`),
    fields(api, `${path}/status/current`),
    rows(api, `/nodes/${encodeURIComponent(node)}/tasks`, query),
  ])
  const works = tasks.filter(({ type }) => !harmless.has(text(type) ?? ''))
  return {
    status: text(status['status']) ?? 'unknown',
    digest: text(config['digest']) ?? '',
    tasks: works.flatMap(({ upid }) => text(upid) ?? []).toSorted(),
  }
}
