import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, inject } from 'vitest'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { type LabHost, hostsIn, missingForHosts, startHosts } from './hosts.ts'
import { available } from '../requirements.ts'
import '../setup.ts'

/**
 * The two hosts of this worker of vitest, or none without libvirt. The first file that asks for them brings them up; the
 * files that the worker runs after it, one at a time, find them; the run takes them down.
 */
export const labHosts: LabHost[] = await hostsOfWorker()

async function hostsOfWorker(): Promise<LabHost[]> {
  // A lab host is both: a hypervisor, and a machine that is reached over SSH.
  const missing = await missingForHosts()
  if (!available('libvirt', missing) || !available('ssh', missing)) return []
  const { dir, pid } = inject('run')
  const own = join(dir, `hosts-${process.env['VITEST_POOL_ID']}`)
  return existsSync(join(own, 'lab')) ? hostsIn(own) : startHosts(own, 2, pid)
}

/** Removes the guests and disks that a file has left, so that the next file does not find them. */
afterAll(async () => {
  const machine = localHost()
  for (const { uri, dir, stateDir } of labHosts) {
    const virsh = (...words: string[]) => machine.run('virsh', ['-q', '-c', uri, ...words])
    const { stdout } = await virsh('list', '--all', '--name')
    for (const name of stdout.split('\n').filter(Boolean)) {
      await virsh('destroy', name)
      await virsh('undefine', name, '--nvram', '--managed-save', '--snapshots-metadata', '--checkpoints-metadata')
    }
    // The folder of the storage pool of most files, and what Horcrux keeps of guests on a host.
    for (const left of [join(dir, 'pool'), join(stateDir, 'shelved'), join(stateDir, 'seeds')])
      await rm(left, { recursive: true, force: true })
  }
})
