import { Serializers } from 'moleculer'

const withBytes = 1

/**
 * JSON on the bus, except that an answer whose data is a Buffer travels as those bytes: JSON that a service has made is not
 * parsed and made again on its way out.
 * Frame: `{` begins plain JSON; otherwise 0x01, the length of the JSON head (uint32 big endian), the head, the bytes.
 */
export class FramingSerializer extends Serializers.Base {
  override serialize(packet: Record<string, unknown>): Buffer {
    const { data } = packet
    if (!Buffer.isBuffer(data)) return Buffer.from(JSON.stringify(packet))
    const head = Buffer.from(JSON.stringify({ ...packet, data: undefined }))
    const prefix = Buffer.allocUnsafe(5)
    prefix.writeUInt8(withBytes, 0)
    prefix.writeUInt32BE(head.length, 1)
    return Buffer.concat([prefix, head, data])
  }

  override deserialize(frame: Buffer): Record<string, unknown> {
    if (frame[0] !== withBytes) return JSON.parse(frame.toString('utf8')) as Record<string, unknown>
    const end = 5 + frame.readUInt32BE(1)
    const packet = JSON.parse(frame.toString('utf8', 5, end)) as Record<string, unknown>
    return { ...packet, data: frame.subarray(end) }
  }
}
