/** Records of pax headers: `LENGTH KEY=VALUE\n`, the length in decimal digits with itself (POSIX, pax). */
export function paxRecords(content: Buffer): [key: string, value: Buffer][] {
  const found: [string, Buffer][] = []
  for (let at = 0; at < content.length;) {
    const blank = content.indexOf(0x20, at)
    const length = Number(content.toString('latin1', at, blank))
    const equals = content.indexOf(0x3d, blank)
    if (blank < 0 || equals < 0 || !Number.isInteger(length) || length <= 0) return found
    found.push([content.toString('latin1', blank + 1, equals), content.subarray(equals + 1, at + length - 1)])
    at += length
  }
  return found
}

/** Writes one record. */
export function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from('\n')])
  let length = rest.length
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length
  return Buffer.concat([Buffer.from(String(length)), rest])
}
