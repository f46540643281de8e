import type { Host } from '#shared/nodes/host/host.ts'

/** A file system of its own on a lab host, which can be filled and taken away. */
export type SmallDisk = {
  folder: string
  /** Takes all space that is left. */
  fill: () => Promise<void>
  empty: () => Promise<void>
  /** Takes the file system away, also from under open files. */
  unmount: () => Promise<void>
  mount: () => Promise<void>
  stop: () => Promise<void>
}

/**
 * Mounts a new file system of so many bytes at a folder of a host: in memory, mounted elsewhere too, so that its files outlive
 * an unmount of the folder. A loop device would need a free one in the host's own /dev.
 */
export async function smallDisk(host: Host, folder: string, bytes: number): Promise<SmallDisk> {
  const [store, filler] = [`${folder}.store`, `${folder}/filler`]
  for (const path of [folder, store]) await host.mkdir(path)
  await host.runChecked('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'small', store])
  const isMounted = async () => (await host.run('mountpoint', ['-q', folder])).code === 0
  const mount = async () => {
    if (!(await isMounted())) await host.runChecked('mount', ['--bind', store, folder])
  }
  const unmount = async () => {
    if (await isMounted()) await host.runChecked('umount', ['--lazy', folder])
  }
  await mount()
  return {
    folder,
    fill: async () => {
      const { freeBytes } = await host.space(folder)
      const length = freeBytes - (freeBytes % 4096)
      if (length > 0) await host.runChecked('fallocate', ['-l', String(length), filler])
    },
    empty: () => host.remove(filler),
    unmount,
    mount,
    stop: async () => {
      await unmount()
      await host.run('umount', ['--lazy', store])
    },
  }
}
