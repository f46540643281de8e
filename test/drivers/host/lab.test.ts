import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { startHosts, stopHosts } from '../../lab/hosts/hosts.ts'
import { labHosts } from '../../lab/hosts/lab.ts'
import { processesWith } from '../../lab/hosts/processes.ts'

const machine = localHost()
const script = fileURLToPath(new URL('../../lab/hosts/hosts.sh', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'horcrux-lab-'))

const DOMAIN = `<domain type='qemu'><name>idle</name><memory unit='MiB'>16</memory><os><type>hvm</type></os></domain>`

/** All of a lab that a machine could show: processes, namespaces, links, mounts, files and records. */
async function traces(name: string, dir: string): Promise<string[]> {
  const links = (await machine.runChecked('ip', ['-o', 'link'])).stdout
    .split('\n')
    .filter((line) => line.includes(name))
  const mounts = (await machine.readFile('/proc/mounts')).toString().split('\n')
  return [
    ...processesWith(dir).map((pid) => `process ${pid}`),
    ...links,
    ...readdirSync('/run/netns').filter((netns) => netns.startsWith(`${name}-`)),
    ...mounts.filter((line) => line.includes(dir) || line.includes(`/${name}-`)),
    ...[dir, `/run/horcrux-lab/${name}`].filter((path) => existsSync(path)),
  ]
}

describe.skipIf(labHosts.length === 0)('a lab', () => {
  afterAll(async () => {
    await machine.close()
    rmSync(folder, { recursive: true, force: true })
  })

  it('meets no other lab, and leaves nothing, not even a running guest', async () => {
    const dir = join(folder, 'second')
    const [host] = await startHosts(dir, 1)
    const name = host!.netns.replace(/-1$/, '')
    expect(labHosts.map(({ address }) => address)).not.toContain(host!.address)
    writeFileSync(join(folder, 'idle.xml'), DOMAIN)
    await machine.runChecked('virsh', ['-c', host!.uri, 'create', join(folder, 'idle.xml')])
    expect((await machine.runChecked('virsh', ['-c', host!.uri, 'list', '--name'])).stdout.trim()).toBe('idle')
    expect(await traces(name, dir)).not.toEqual([])

    await stopHosts(dir)
    expect(await traces(name, dir)).toEqual([])
    await stopHosts(dir)
  })

  it('whose run was killed goes at the next start of any', async () => {
    const run = await machine.spawn('sh', ['-c', 'echo $$; exec sleep 3600'])
    const pid = await new Promise<string>((resolve) =>
      run.stdout.once('data', (line: Buffer) => resolve(line.toString().trim())),
    )
    const dir = join(folder, 'left')
    const { stdout } = await machine.runChecked('bash', [script, 'up', dir, '1', pid])
    const name = /name=(.*)/.exec(stdout)?.[1] as string
    await run.kill()
    expect(await traces(name, dir)).not.toEqual([])

    const next = join(folder, 'next')
    const [host] = await startHosts(next, 1)
    expect(existsSync(dir)).toBe(false)
    if (host!.netns !== `${name}-1`) expect(await traces(name, dir)).toEqual([])
    await stopHosts(next)
    expect(await traces(name, next)).toEqual([])
  })
})
