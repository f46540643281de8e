import { isSameSource, nameOfSource, pathOfSource } from '#shared/contracts/storage/disk-source.ts'
import { fileIds } from '#shared/nodes/host/file-ids.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import { apiPathOf, type DiskRecord, vmRecords } from '../model.ts'

/** A VM whose disk an image is, or has as a backing file. */
export type User = { vm: string; disk: DiskRecord; isBacking: boolean }

const filesOf = ({ source, reads = [] }: DiskRecord): string[] => {
  const path = pathOfSource(source)
  return path === null ? reads : [path, ...reads]
}

/** Finds the VM that uses a file of a node, under any of its paths and hard links. */
export async function userOf({ host, node }: Reached, path: string): Promise<User | undefined> {
  const all = (await vmRecords.all({ node: node.id })).flatMap(({ id, disks }) =>
    disks.flatMap((disk) =>
      filesOf(disk).map((file) => ({ vm: id, disk, file, isBacking: file !== pathOfSource(disk.source) })),
    ),
  )
  const ids = await fileIds(host, [path, ...all.map(({ file }) => file)])
  const id = ids.get(path)
  return all.find(({ file }) => file === path || (id !== undefined && ids.get(file) === id))
}

/** The VM that already has a disk in no storage pool, or reads from it; two VMs may share a disk that neither writes. */
export async function ownerOfLoose(reached: Reached, { source, readonly }: DiskRecord): Promise<string | undefined> {
  const path = pathOfSource(source)
  if (path !== null) {
    const user = await userOf(reached, path)
    return user && !(readonly && (user.disk.readonly || user.isBacking)) ? apiPathOf(user.vm) : undefined
  }
  const all = await vmRecords.all({})
  const other = all.find(({ disks }) =>
    disks.some((disk) => isSameSource(disk.source, source) && !(readonly && disk.readonly)),
  )
  return other && apiPathOf(other.id)
}

/** The lock on a disk in no storage pool that is being taken. */
export async function looseKeyOf({ host, node }: Reached, { source }: DiskRecord): Promise<string> {
  const path = pathOfSource(source)
  if (path === null) return `disk ${nameOfSource(source)}`
  return `disk ${(await fileIds(host, [path])).get(path) ?? path} of ${node.id}`
}

/** The name under which the storage knows a disk in no storage pool that reads from volumes. */
export const readerOf = (vm: string, { id }: Pick<DiskRecord, 'id'>) => `${apiPathOf(vm)}/disks/${id}`
