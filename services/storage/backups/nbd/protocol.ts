/** Constants and fields of the NBD protocol (doc/proto.md of NetworkBlockDevice/nbd) that client and server share. */
export const nbdMagic = 0x4e42444d41474943n
export const optionMagic = 0x49484156454f5054n
export const optionReplyMagic = 0x3e889045565a9n
export const option = { exportName: 1, abort: 2, list: 3, info: 6, go: 7, structuredReply: 8, setMetaContext: 10 }
/** Types of replies to options; errors have the highest bit. */
export const optionReply = { ack: 1, server: 2, info: 3, metaContext: 4 }
export const requestMagic = 0x25609513
export const simpleReplyMagic = 0x67446698
export const command = { read: 0, write: 1, disconnect: 2, flush: 3, status: 7 }

export const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff])
export const u32 = (value: number): Buffer =>
  Buffer.from([value >>> 24, (value >> 16) & 0xff, (value >> 8) & 0xff, value & 0xff])

export function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(value))
  return bytes
}
