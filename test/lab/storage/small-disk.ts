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

/** Mounts a new file system of so many bytes at a folder of a host. */
export async function smallDisk(host: Host, folder: string, bytes: number): Promise<SmallDisk> {
  const [image, filler] = [`${folder}.img`, `${folder}/filler`]
  await host.mkdir(folder)
  await host.runChecked('truncate', ['-s', String(bytes), image])
  await host.runChecked('mkfs.ext4', ['-q', '-m', '0', image])
  const device = (await host.runChecked('losetup', ['--find', '--show', image])).stdout.trim()
  const isMounted = async () => (await host.run('mountpoint', ['-q', folder])).code === 0
  const mount = async () => {
    if (!(await isMounted())) await host.runChecked('mount', [device, folder])
  }
  const unmount = async () => {
    if (await isMounted()) await host.runChecked('umount', ['--lazy', folder])
  }
  await mount()
  return {
    folder,
    fill: async () => {
      await host.runChecked('sync', ['-f', folder])
      const { freeBytes } = await host.space(folder)
      const length = freeBytes - (freeBytes % 4096)
      if (length > 0) await host.runChecked('fallocate', ['-l', String(length), filler])
    },
    empty: () => host.remove(filler),
    unmount,
    mount,
    stop: async () => {
      await unmount()
      await host.run('losetup', ['--detach', device])
      await host.remove(image)
    },
  }
}
