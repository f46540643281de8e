import { pathOfSource } from '#shared/contracts/storage/disk-source.ts'
import type { PoolConfig } from '#shared/contracts/storage/pool-kinds.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { secretFiles, secretObjects, withSecretFiles } from '#shared/nodes/host/secret-files.ts'
import type { ToolFile, VolumeDriver, VolumeName } from '../../../services/storage/drivers/driver.ts'

const MiB = 2 ** 20

/** Reads and writes volumes with QEMU's own tools, as no guest does. */
export function imageTools(host: Host, volumes: VolumeDriver, config: PoolConfig) {
  const run = async (program: string, args: string[], { secret }: ToolFile): Promise<string> => {
    const { code, stdout, stderr } = await withSecretFiles(host, program, args, secret === undefined ? [] : [secret])
    if (code !== 0) throw new Error(`${program}: ${stderr}`)
    return stdout
  }
  const objects = ({ secret }: ToolFile) => secretObjects(secret === undefined ? 0 : 1)
  /** A snapshot may be only read. */
  const mode = (command: string) => (command.startsWith('read') ? ['-r'] : [])
  const io = (file: ToolFile, format: string, command: string) =>
    run('qemu-io', [...objects(file), ...mode(command), '-f', format, '-c', command, file.path], file)
  const fileOf = async (spec: VolumeName): Promise<ToolFile> =>
    volumes.toolFile?.(config, spec, secretFiles[0]) ?? {
      path: pathOfSource(await volumes.sourceOn(host, config, spec))!,
    }
  return {
    io,
    fileOf,
    /** Writes a byte over the first MiB. */
    fill: (file: ToolFile, format: string, byte: number) => io(file, format, `write -P ${byte} 0 ${MiB}`),
    holds: async (file: ToolFile, format: string, byte: number) =>
      !(await io(file, format, `read -P ${byte} 0 ${MiB}`)).includes('verification failed'),
    sizeOf: async (file: ToolFile, format: string) => {
      const said = await run('qemu-img', ['info', ...objects(file), '--output=json', '-f', format, file.path], file)
      return (JSON.parse(said) as { 'virtual-size': number })['virtual-size']
    },
  }
}
