/** virTypedParameter arrays (libvirt/libvirt-common.h): 96 bytes each, name 80, type 4, pad 4, value 8. */
const size = 96
const nameSize = 80
const valueOffset = 88

export const parameterSize = size

export type ParameterValue = number | boolean | string
export type Parameters = Map<string, ParameterValue>

/**
 * Decodes `count` parameters from a copy of libvirt's array. 64-bit integers become numbers: past 2^53 the last
 * digits are rounded, which for counters of bytes and nanoseconds does not matter.
 * @param readText reads the C string at an address; strings are the one type that is not inline
 */
export const decodeParameters = (bytes: Buffer, count: number, readText: (address: bigint) => string): Parameters => {
  const parameters: Parameters = new Map()
  for (let start = 0; start < count * size; start += size) {
    const end = bytes.indexOf(0, start)
    const name = bytes.toString('latin1', start, Math.min(end < 0 ? bytes.length : end, start + nameSize))
    const value = decodeValue(bytes, start, readText)
    if (value !== undefined) parameters.set(name, value)
  }
  return parameters
}

const decodeValue = (
  bytes: Buffer,
  start: number,
  readText: (address: bigint) => string,
): ParameterValue | undefined => {
  const at = start + valueOffset
  switch (bytes.readInt32LE(start + nameSize)) {
    case 1:
      return bytes.readInt32LE(at)
    case 2:
      return bytes.readUInt32LE(at)
    case 3:
      return bytes.readInt32LE(at + 4) * 2 ** 32 + bytes.readUInt32LE(at)
    case 4:
      return bytes.readUInt32LE(at + 4) * 2 ** 32 + bytes.readUInt32LE(at)
    case 5:
      return bytes.readDoubleLE(at)
    case 6:
      return bytes[at] !== 0
    case 7:
      return readText(bytes.readBigUInt64LE(at))
    default:
      return undefined // a type newer than this table
  }
}
