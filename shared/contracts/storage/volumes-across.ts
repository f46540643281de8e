import { Type } from 'typebox'
import { Id, nullable, strict } from '#shared/contracts/common.ts'
import { VolumeFormat } from '#shared/contracts/storage/pools.ts'
import { oneVolume, VolumeName } from '#shared/contracts/storage/volumes.ts'

const byMovers = { can: 'service', callers: ['vm', 'migration'] } as const

/** Actions of the contract of volumes for copies between nodes of which none reaches both storage pools. */
export const across = {
  copyAcross: {
    does: 'Copy the bytes of a volume that nothing writes into another, which was made for it, on another node',
    ...byMovers,
    operation: true,
    audit: 'volume_created',
    params: strict({
      from: strict({ ...oneVolume, owner: Type.String(), node: Id, snapshot: Type.Optional(Id) }),
      to: strict({ ...oneVolume, owner: Type.String(), node: Id }),
      bytes_per_second: Type.Optional(Type.Integer({ minimum: 1 })),
      is_compressed: Type.Optional(Type.Boolean({ description: 'Over SSH connections of its own that compress' })),
    }),
    result: strict({ data_bytes: Type.Integer() }),
  },
  checkAcross: {
    does: 'List everything that stands against copies of volumes to another node, and measure their data; nothing is changed',
    ...byMovers,
    params: strict({
      source_node: Id,
      target_node: Id,
      disks: Type.Array(
        strict({ ...oneVolume, snapshot: Type.Optional(Id), pool: Id, name: VolumeName, format: VolumeFormat }),
        { maxItems: 64 },
      ),
    }),
    result: strict({
      violations: Type.Array(strict({ field: Type.String(), code: Type.String(), message: Type.String() })),
      data_bytes: Type.Array(nullable(Type.Integer()), { description: 'Of each disk; null: it cannot be read' }),
    }),
  },
} as const
