import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { pipeline } from 'node:stream'
import { expect, test } from 'vitest'
import { sshHost } from '#shared/nodes/host/ssh/ssh.ts'
import { type LabHost, sshTarget } from '../../lab/hosts/hosts.ts'
import { labHosts } from '../../lab/hosts/lab.ts'

const [lab] = labHosts as [LabHost]
const MiB = 2 ** 20

test.skipIf(!lab)(
  'a compressed connection sends fewer bytes than it carries, to the same host and host key',
  async () => {
    const target = sshTarget(lab)
    let received = 0
    const server = createServer((client) => {
      const there = connect(target.port, target.address)
      there.on('data', (chunk) => (received += chunk.length))
      pipeline(client, there, client, () => undefined)
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const host = sshHost({ ...target, address: '127.0.0.1', port: (server.address() as AddressInfo).port })
    const bytesOf = async (through: typeof host) => {
      received = 0
      const { bytes } = await through.runChecked('head', ['-c', String(8 * MiB), '/dev/zero'])
      expect(bytes.length).toBe(8 * MiB)
      return received
    }
    const compressed = host.compressed!()
    try {
      expect(await bytesOf(host)).toBeGreaterThan(8 * MiB)
      expect(await bytesOf(compressed)).toBeLessThan(MiB)
      // A key that was pinned since counts for it too.
      host.pin!(`SHA256:${'A'.repeat(43)}`)
      const refused = host.compressed!()
      await expect(refused.run('true', [])).rejects.toMatchObject({ details: { reason: 'host_key' } })
      await refused.close()
    } finally {
      await compressed.close()
      await host.close()
      server.close()
    }
  },
)
