/** A file of an archive; `mode` has the type bits, such as 0o100755 for a program, 0o040755 for a folder, 0o120777 for a link. */
export type CpioEntry = { path: string; mode: number; data?: string | Uint8Array }

const pad = (length: number): Buffer => Buffer.alloc((4 - (length % 4)) % 4)

/**
 * Makes an archive in the "newc" format, which the Linux kernel unpacks as its initial root file system:
 * https://docs.kernel.org/driver-api/early-userspace/buffer-format.html. Folders come before their content.
 */
export function cpio(entries: readonly CpioEntry[]): Buffer {
  const end: CpioEntry = { path: 'TRAILER!!!', mode: 0 }
  return Buffer.concat([...entries, end].flatMap((entry, index) => record(entry, index + 1)))
}

function record({ path, mode, data = '' }: CpioEntry, inode: number): Buffer[] {
  const body = typeof data === 'string' ? Buffer.from(data) : Buffer.from(data)
  const name = Buffer.from(`${path}\0`)
  // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
  const fields = [inode, mode, 0, 0, 1, 0, body.length, 0, 0, 0, 0, name.length, 0]
  const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`)
  return [header, name, pad(header.length + name.length), body, pad(body.length)]
}
