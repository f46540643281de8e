import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { localHost } from '#shared/nodes/host/local/local.ts'
import type { LabHost } from './hosts.ts'
import { insideOf } from './inside.ts'

const bootId = '/proc/sys/kernel/random/boot_id'

/**
 * Gives a lab host another boot id, as if it had booted: all hosts have one kernel. No container with a user namespace
 * starts meanwhile, since the kernel lets it mount only a /proc that nothing is mounted over.
 * @returns a function that gives it the id of the kernel again
 */
export async function changeBootId(host: LabHost): Promise<() => Promise<void>> {
  const machine = localHost()
  const inside = await insideOf(host)
  await machine.writeFile(join(host.stateDir, 'boot_id'), `${randomUUID()}\n`)
  await machine.runChecked('nsenter', [...inside, 'mount', '--bind', '/var/lib/horcrux/boot_id', bootId])
  return async () => void (await machine.runChecked('nsenter', [...inside, 'umount', bootId]))
}
