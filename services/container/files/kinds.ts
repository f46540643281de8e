/** Place and bytes that tell a tar archive (POSIX, ustar) and the formats that engines unpack: gzip, bzip2, xz, zstd. */
const marks: readonly [at: number, bytes: string][] = [
  [257, '7573746172'],
  [0, '1f8b'],
  [0, '425a68'],
  [0, 'fd377a585a00'],
  [0, '28b52ffd'],
]

/** Bytes that {@link isArchive} looks at. */
export const kindBytes = 512

/** True for the beginning of a tar archive, compressed or not. */
export const isArchive = (first: Buffer): boolean =>
  marks.some(([at, bytes]) => first.subarray(at, at + bytes.length / 2).toString('hex') === bytes)
