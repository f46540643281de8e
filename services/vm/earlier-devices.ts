import { type DiskSource, nameOfSource } from '#shared/contracts/storage/disk-source.ts'
import { convertDocuments } from '#shared/db/convert-documents.ts'
import { idFrom } from '#shared/ids.ts'

type Earlier = { id?: string; mac?: string; source?: DiskSource; device_id?: string }

/** The id of a device follows from what it is, so that all processes that convert a record agree, and its pending changes do. */
const idOf = (vm: string, { id, mac, source }: Earlier) =>
  idFrom(`device of ${vm}: ${mac ?? `${id} ${source ? nameOfSource(source) : ''}`}`)

const convertAll = (vm: string, devices: unknown) =>
  Array.isArray(devices)
    ? (devices as Earlier[]).map((device) => ({ ...device, device_id: device.device_id ?? idOf(vm, device) }))
    : devices

type EarlierPending = { field: string; current: unknown; next: unknown }

const without = (field: string) => ({ [`${field}.0`]: { $exists: true }, [`${field}.device_id`]: { $exists: false } })

/** Virtual machines of versions that knew disks by their places, and NICs by their addresses. */
export const migrateDevices = convertDocuments({
  where: { $or: [without('disks'), without('nics')] },
  convert: ({ _id, disks, nics, pending }) => ({
    disks: convertAll(String(_id), disks),
    nics: convertAll(String(_id), nics),
    pending: (pending as EarlierPending[]).map((each) =>
      each.field === 'disks' || each.field === 'nics'
        ? { ...each, current: convertAll(String(_id), each.current), next: convertAll(String(_id), each.next) }
        : each,
    ),
  }),
})
