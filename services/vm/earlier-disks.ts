import type { DiskSource } from '#shared/contracts/storage/disk-source.ts'
import { convertDocuments } from '#shared/db/convert-documents.ts'

type EarlierDisk = { path?: string; source?: DiskSource }

/** Earlier versions took every path below /dev for a block device. */
const sourceOf = (path: string): DiskSource => ({ type: path.startsWith('/dev/') ? 'block' : 'file', path })

const convertDisk = ({ path, ...disk }: EarlierDisk): EarlierDisk =>
  path === undefined ? disk : { ...disk, source: sourceOf(path) }
const convertDisks = (disks: unknown) => (Array.isArray(disks) ? (disks as EarlierDisk[]).map(convertDisk) : disks)

type EarlierPending = { field: string; current: unknown; next: unknown }

/** Virtual machines of versions that knew a disk by its path alone. */
export const migrateDisks = convertDocuments({
  where: { 'disks.path': { $exists: true } },
  convert: ({ disks, pending }) => ({
    disks: convertDisks(disks),
    pending: (pending as EarlierPending[]).map((each) =>
      each.field === 'disks' ? { ...each, current: convertDisks(each.current), next: convertDisks(each.next) } : each,
    ),
  }),
})
