import { localHost } from '#shared/nodes/host/local/local.ts'
import type { HostProcess } from '#shared/nodes/host/host.ts'
import { until } from '../wait.ts'

/**
 * Mounts a FUSE file system over a folder whose server never answers: every access to the folder hangs until `end`, as on a
 * network file system whose server is gone.
 */
export async function hangAt(folder: string): Promise<{ end: () => Promise<void> }> {
  const host = localHost()
  const options = 'fd=3,rootmode=40000,user_id=0,group_id=0'
  const script = `exec 3<>/dev/fuse; mount -i -t fuse -o ${options} hang "$1" && echo mounted && exec sleep infinity`
  // The file system ends with its server, this process, which then fails every call that hangs.
  const server: HostProcess = await host.spawn('bash', ['-c', script, 'bash', folder])
  let said = ''
  server.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  await until(() => said.includes('mounted'))
  return {
    end: async () => {
      await server.kill()
      // Processes that hung in it still end.
      await until(async () => (await host.run('umount', [folder])).code === 0)
      await host.close()
    },
  }
}
