import { NotFoundError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { says, tool, toolUnless, whileBusy } from '../tool.ts'

const notThere = /Failed to find logical volume|not found|Cannot process volume group/i

/** A logical volume as `lvs` reports it; sizes in bytes. */
export type LogicalVolume = {
  name: string
  sizeBytes: number
  /** The thin pool that it is in; empty for other volumes. */
  thinPool: string
  /** The thin volume that it is a snapshot of. */
  origin: string
  uuid: string
  groupUuid: string
  tags: string[]
  /** Type of the volume, the first of `lv_attr`: `V` thin volume, `t` thin pool. */
  type: string
  isActive: boolean
  dataPercent: number
  metadataPercent: number
  metadataBytes: number
  /** `lv_health_status`, such as `failed`, `out_of_data` or `metadata_read_only`; empty when all is well. */
  trouble: string
}

const columns =
  'lv_name,lv_size,pool_lv,origin,lv_uuid,vg_uuid,lv_tags,lv_attr,data_percent,metadata_percent,lv_metadata_size,lv_health_status'
type Row = Record<string, string>

function read(row: Row): LogicalVolume {
  const text = (column: string) => row[column] ?? ''
  const attributes = text('lv_attr')
  return {
    name: text('lv_name'),
    sizeBytes: Number(text('lv_size')),
    thinPool: text('pool_lv'),
    origin: text('origin'),
    uuid: text('lv_uuid'),
    groupUuid: text('vg_uuid'),
    tags: text('lv_tags').split(',').filter(Boolean),
    type: attributes[0] ?? '',
    isActive: attributes[4] === 'a',
    dataPercent: Number(text('data_percent')),
    metadataPercent: Number(text('metadata_percent')),
    metadataBytes: Number(text('lv_metadata_size')),
    trouble: text('lv_health_status'),
  }
}

/** The logical volumes of a volume group. @throws NotFoundError for no such group */
export async function volumesOf(host: Host, group: string): Promise<LogicalVolume[]> {
  const args = ['--reportformat', 'json', '--units', 'b', '--nosuffix', '-o', columns, group]
  const said = await toolUnless(host, notThere, 'lvs', args)
  if (said === null)
    throw new NotFoundError(`Volume group '${group}' not found on ${host.describe()}`, {
      details: { kind: 'Volume group', id: group },
    })
  const { report } = JSON.parse(said) as { report: { lv: Row[] }[] }
  return report.flatMap(({ lv }) => lv.map(read))
}

export const findVolume = async (host: Host, group: string, name: string): Promise<LogicalVolume | null> =>
  (await volumesOf(host, group)).find((volume) => volume.name === name) ?? null

/** @throws NotFoundError */
export async function requireThinPool(host: Host, group: string, name: string): Promise<LogicalVolume> {
  const found = await findVolume(host, group, name)
  if (found?.type === 't') return found
  throw new NotFoundError(`Thin pool '${group}/${name}' not found on ${host.describe()}`, {
    details: { kind: 'Thin pool', id: `${group}/${name}` },
  })
}

export const pathOf = (group: string, name: string): string => `/dev/${group}/${name}`

/** Activates a volume; without `-K` a snapshot is left inactive, and lvchange says nothing. */
export const activate = (host: Host, group: string, name: string) =>
  tool(host, 'lvchange', ['-ay', '-K', `${group}/${name}`])

/** Makes an empty thin volume, active, and not to be skipped at activations. */
export const createThin = (host: Host, group: string, pool: string, name: string, size_bytes: number) =>
  tool(host, 'lvcreate', ['-qq', '-y', '-kn', '-Wn', '-V', `${size_bytes}b`, '-n', name, '--thinpool', pool, group])

/** Makes a thin snapshot of a volume that can be written as any other volume. */
export async function snapshot(host: Host, group: string, from: string, to: string): Promise<void> {
  await tool(host, 'lvcreate', ['-qq', '-y', '-s', '-kn', '-prw', '-n', to, `${group}/${from}`])
  await activate(host, group, to)
}

/** Makes a thin snapshot that is only read, and left inactive. */
export const freeze = (host: Host, group: string, from: string, to: string) =>
  tool(host, 'lvcreate', ['-qq', '-y', '-s', '-pr', '-n', to, `${group}/${from}`])

/** @returns false when a volume of this name is there */
export async function rename(host: Host, group: string, from: string, to: string): Promise<boolean> {
  try {
    await tool(host, 'lvrename', ['-qq', '-y', group, from, to])
    return true
  } catch (error) {
    if (says(error, /already exists/)) return false
    throw error
  }
}

/** One that is gone is fine. */
export async function remove(host: Host, group: string, name: string): Promise<void> {
  await whileBusy(() => toolUnless(host, notThere, 'lvremove', ['-qq', '-f', '-y', `${group}/${name}`]))
}
