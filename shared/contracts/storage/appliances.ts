import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { Done, Id, nullable, oneOf, strict } from '#shared/contracts/common.ts'
import { FileName } from '#shared/contracts/storage/uploads.ts'

const byVms = { can: 'service', callers: ['vm'] } as const

const UploadId = Type.String({ format: 'uuid' })

/** Uploaded files that are a virtual machine of another hypervisor: an OVA, or an OVF descriptor with its files. */
export const ApplianceSource = {
  pool: Type.String({ ...Id, description: 'Storage pool with the uploads' }),
  upload: Type.String({ ...UploadId, description: 'Upload of the OVA, or of the OVF descriptor' }),
  files: Type.Array(
    strict({
      name: Type.String({ ...FileName, description: 'Its name in the descriptor' }),
      upload: UploadId,
    }),
    { maxItems: 64, default: [], description: 'Uploads of the files beside an OVF descriptor; none for an OVA' },
  ),
}

export const Bus = oneOf('virtio', 'scsi', 'sata', 'ide', 'other')

/** A virtual machine as its descriptor has it. */
export const Appliance = strict({
  name: nullable(Type.String()),
  description: Type.String(),
  cpus: Type.Integer({ minimum: 1 }),
  cores_per_socket: nullable(Type.Integer({ minimum: 1 })),
  memory_bytes: nullable(Type.Integer()),
  firmware: nullable(oneOf('bios', 'uefi')),
  disks: Type.Array(
    strict({
      file: nullable(Type.String({ description: 'Name of its file; null: an empty disk' })),
      size_bytes: Type.Integer(),
      bus: Bus,
      controller: Type.String({ description: "The descriptor's word for its controller" }),
    }),
  ),
  nics: Type.Array(
    strict({
      network: nullable(Type.String({ description: 'Name of the network that it was in' })),
      model: nullable(Type.String()),
      mac: nullable(Type.String()),
    }),
  ),
  unmapped: Type.Array(Type.String(), { description: 'Parts of the descriptor that no VM here has' }),
})
export type Appliance = Static<typeof Appliance>

/** The disk in a file, or in a part of one. */
export const AppliancePart = strict({
  pool: Id,
  upload: UploadId,
  name: FileName,
  offset: Type.Integer({ minimum: 0 }),
  length: Type.Integer({ minimum: 1 }),
  data_bytes: Type.Integer({ minimum: 0 }),
})
export type AppliancePart = Static<typeof AppliancePart>

/** Uploads that become virtual machines. */
export const appliances = contract('appliances', {
  read: {
    does: 'Read the descriptor of an uploaded virtual machine; the files that it names are not read',
    ...byVms,
    params: strict(ApplianceSource),
    result: strict({ node: Id, uploads: Type.Array(UploadId), appliance: Appliance }),
  },
  check: {
    does: 'Close uploads, compare the files with the manifest, and check the image in each',
    ...byVms,
    operation: true,
    audit: 'config_changed',
    params: strict({
      ...ApplianceSource,
      disks: Type.Array(
        strict({ file: FileName, size_bytes: Type.Integer({ description: 'The most that it may have' }) }),
      ),
    }),
    result: strict({ parts: Type.Array(AppliancePart) }),
  },
  release: {
    does: 'Open uploads again that a failed import has closed; repeating it is fine',
    ...byVms,
    params: strict(ApplianceSource),
    result: Done,
  },
  discard: {
    does: 'Remove uploads that have become a virtual machine; repeating it is fine',
    ...byVms,
    params: strict(ApplianceSource),
    result: Done,
  },
})
