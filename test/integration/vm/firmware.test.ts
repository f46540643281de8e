import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { templates } from '#shared/contracts/vm/templates.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { type CloneLab, startCloneLab } from '../../lab/guests/clones.ts'
import { until } from '../../lab/wait.ts'
import { done } from '../../lab/product/run-operation.ts'

let lab: CloneLab
beforeAll(async () => {
  lab = await startCloneLab()
})
afterAll(() => lab?.stop())
afterEach(() => lab.clear())

const variablesOf = (id: string) => `/var/lib/horcrux/nvram/${id}.fd`
const checksum = async (id: string) => {
  const { code, stdout } = await lab.images.host.run('sha256sum', [variablesOf(id)])
  return code === 0 ? stdout.split(' ')[0]! : null
}

/** A guest whose UEFI has written its variables: it has found out what there is to boot from. */
async function makeBooted(id: string): Promise<string> {
  await lab.makeSource(id, { firmware: 'uefi' })
  await done(lab.horcrux, vms, 'start', { id })
  const blank = await checksum(id)
  await until(async () => (await checksum(id)) !== blank, { what: 'variables', intervalMs: 250 })
  await done(lab.horcrux, vms, 'stop', { id, force: true })
  // It is not the one that every new guest gets.
  expect(await checksum(id)).not.toBe(blank)
  return (await checksum(id))!
}

test('clones of a machine and of a template have the UEFI variables of their source, each its own', async () => {
  const { horcrux } = lab
  const variables = await makeBooted('booted')
  await lab.clone('booted', 'copy')
  expect(await checksum('copy')).toBe(variables)

  // They survive the time as a template, and the way back.
  await lab.makeTemplate('booted')
  expect(await checksum('booted')).toBe(variables)
  await lab.deploy('booted', 'linked')
  expect(await checksum('linked')).toBe(variables)
  await done(horcrux, vms, 'delete', { id: 'linked', purge: true })
  await done(horcrux, templates, 'delete', { id: 'booted' })
  expect(await checksum('booted')).toBe(variables)

  const { stdout } = await localHost().runChecked('virsh', ['-c', lab.lab.uri, 'dumpxml', 'copy'])
  expect(stdout).toContain(variablesOf('copy'))
  await done(horcrux, vms, 'start', { id: 'copy' })
  expect((await horcrux.call(vms, 'get', { id: 'copy' })).status).toBe('running')
  expect(await checksum('booted')).toBe(variables)
})

test('UEFI variables are deleted with their VM or template, and kept when it is renamed', async () => {
  const { horcrux } = lab
  const variables = await makeBooted('first')
  await horcrux.call(vms, 'update', { id: 'first', name: 'renamed' })
  // Another one has the name by now.
  await lab.makeSource('second', { name: 'first', firmware: 'uefi' })
  await done(horcrux, vms, 'start', { id: 'second' })
  await done(horcrux, vms, 'stop', { id: 'second', force: true })
  await done(horcrux, vms, 'delete', { id: 'second', purge: true })
  expect([await checksum('first'), await checksum('second')]).toEqual([variables, null])
  await lab.makeTemplate('first')
  await done(horcrux, vms, 'delete', { id: 'first', purge: true })
  expect(await checksum('first')).toBeNull()
})
