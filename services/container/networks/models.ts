import { type Static, Type } from 'typebox'
import { nullable, strict, Version } from '#shared/contracts/common.ts'
import { Attachment, Network } from '#shared/contracts/container/networks.ts'
import { collection } from '#shared/db/collection.ts'
import { leaseFields } from '#shared/db/lease.ts'
import type { Attaching, CniResult } from './plugins.ts'

const { attachments: _a, bridge: _b, ...stored } = Network.properties

export const networkRecords = collection('networks', strict(stored), {
  kind: 'Network',
  resource: { path: '/api/networks/{id}', sees: 'NetworkAudit on /api/networks/{id}' },
  indexes: [{ fields: { node: 1, name: 1 }, unique: true }],
})
export type NetworkRecord = Awaited<ReturnType<typeof networkRecords.require>>

/** `added` is stored before the plug-ins run: a DEL uses what the ADD used, also after a crash in between. */
const StoredAttachment = strict({
  ...Attachment.properties,
  ...leaseFields,
  added: nullable(Type.Unsafe<Attaching>(Type.Unknown())),
  result: nullable(Type.Unsafe<CniResult>(Type.Unknown())),
  pid: nullable(Type.Integer({ description: 'Process of the container that it was attached for' })),
  version: Version,
})
export type AttachmentRecord = Static<typeof StoredAttachment>

export const attachmentRecords = collection('network_attachments', StoredAttachment, {
  kind: 'Attachment',
  indexes: [
    { fields: { container: 1, interface: 1 }, unique: true },
    { fields: { network: 1, container: 1 }, unique: true },
  ],
})

export const viewOfAttachment = ({
  added: _added,
  result: _result,
  pid: _pid,
  lease: _lease,
  epoch: _epoch,
  version: _version,
  ...attachment
}: AttachmentRecord): Attachment => attachment
