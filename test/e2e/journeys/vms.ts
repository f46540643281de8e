import { expect } from 'vitest'
import { guestPrefix } from '../../../tools/tiny-guest/tiny-guest.ts'
import { until } from '../../lab/wait.ts'
import { button, dialogOf, field, type Journey, longMs } from './stage.ts'

/** A VM with a seed is made in one form, and starts. */
const create: Journey = async ({ product, page, hand, name, boot, makePool, go }) => {
  await makePool(name)
  await go('/vms/new')
  await hand.fill(field(page, 'name'), name)
  await hand.fill(field(page, 'memory'), '256 MiB')
  await hand.choose(field(page, 'pool'), name)
  await hand.fill(field(page, 'size'), '1 GiB')
  await hand.fill(field(page, 'network'), '')
  await hand.press(page.locator('summary', { hasText: 'Access to the guest' }))
  await hand.fill(field(page, 'hostname'), 'made-by-hand')
  await hand.press(page.locator('summary', { hasText: 'More settings' }))
  await hand.choose(field(page, 'node'), 'hv1')
  await hand.fill(field(page, 'boot.kernel'), boot.kernel)
  await hand.fill(field(page, 'boot.initrd'), boot.initrd)
  if (boot.cmdline) await hand.fill(field(page, 'boot.cmdline'), boot.cmdline)
  await hand.press(button(page, 'Create VM'))
  await page.waitForURL(/\/vms\/[0-9a-f-]{36}/)
  const id = new URL(page.url()).pathname.split('/')[2]!
  const vm = async () => (await product.ask(`GET /api/vms/${id}`)).body
  await until(async () => (await vm())['status'] === 'running', { what: 'the VM to run' })
  expect(await vm()).toMatchObject({ memory: 256, disks: [{ pool: name, size_bytes: 2 ** 30 }] })
  const seed = await product.ask(`GET /api/vms/${id}/cloudinit`)
  expect(seed.body).toMatchObject({ hostname: 'made-by-hand' })
}

/** The serial terminal of a guest shows what its shell answers. */
const console: Journey = async ({ product, page, hand, way, name, boot, makeVm, go }) => {
  await makeVm(name, { memory: 256, boot, start: true })
  const serial = async () => String((await product.ask(`GET /api/vms/${name}/serial`)).body['text'])
  await until(async () => (await serial()).includes(`${guestPrefix} up`), { what: 'the guest' })
  await go(`/vms/${name}/console`)
  const frame = page.frameLocator('iframe')
  await frame.locator('body[data-state=connected]').waitFor()
  const select = page.locator('main select')
  // All keys go to the guest until these.
  if (way === 'keyboard') await hand.leave('Control+Alt+Shift', select)
  await hand.choose(select, 'serial')
  await frame.locator('body[data-state=connected]').waitFor()
  await frame.locator('.xterm-rows').getByText(guestPrefix).first().waitFor()
  if (way !== 'keyboard') await frame.locator('.xterm-screen').click()
  await page.keyboard.type('echo typed-$((6*7))\n')
  await frame.locator('.xterm-rows').getByText('typed-42').first().waitFor()
}

const snapshot: Journey = async ({ page, hand, name, makeVm, makePool, go }) => {
  await makePool(name)
  await makeVm(name, { disks: [{ pool: name, size: 2 ** 30 }] })
  await go(`/vms/${name}/snapshots`)
  await hand.press(button(page, 'Take snapshot').first())
  await hand.fill(field(dialogOf(page), 'name'), 'before-update')
  await hand.press(button(dialogOf(page), 'Take snapshot'))
  await page.getByText('You are here').first().waitFor()
  await hand.act('before-update', 'Restore')
  await hand.press(button(dialogOf(page), 'Restore'))
  await page.getByText('Undo the restore').first().waitFor()
}

/** Three clones with their names are begun in one dialog. */
const clones: Journey = async ({ product, page, hand, way, name, makeVm, makePool, go }) => {
  await makePool(name)
  await makeVm(name, { disks: [{ pool: name, size: 2 ** 30 }] })
  await go(`/vms/${name}`)
  await hand.press(button(page, 'Clone'))
  const names = [1, 2, 3].map((index) => `${name}-copy-${index}`)
  await hand.fill(field(dialogOf(page), 'names'), names.join('\n'))
  await hand.press(button(dialogOf(page), 'Clone'))
  await dialogOf(page).waitFor({ state: 'detached' })
  const made = async () => {
    const { body } = await product.ask(`GET /api/vms?q=${name}-copy`)
    return (body['data'] as { name: string }[]).map((vm) => vm.name).toSorted()
  }
  await until(async () => (await made()).length === 3, { what: `the clones, by ${way}` })
  expect(await made()).toEqual(names)
}

/** The checks of each node are shown before a VM moves to one. */
const migrate: Journey = async ({ product, page, hand, name, makeVm, makePool, go }) => {
  await makePool(name)
  for (const end of ['b', 'c'])
    await product.ask('POST /api/storage/pools', { json: { id: `${name}-${end}`, type: 'dir', node: 'hv2' } })
  await makeVm(name, { disks: [{ pool: name, size: 2 ** 30 }], start: true })
  await go(`/vms/${name}/move`)
  const target = page.getByRole('region', { name: 'hv2' })
  await target.getByText('several storage pools').waitFor()
  await hand.choose(target.getByRole('combobox'), `${name}-c`)
  await target.getByText('possible', { exact: true }).waitFor()
  page.setDefaultTimeout(longMs)
  await hand.press(button(target, 'Move here'))
  await hand.press(button(dialogOf(page), 'Move here'))
  await page.locator('main tbody tr').getByText('completed').waitFor()
  expect((await product.ask(`GET /api/vms/${name}`)).body['node']).toBe('hv2')
  // The answers of the checks are of the new place.
  await page.getByRole('region', { name: 'hv1' }).waitFor()
  await go('/migrations')
  await page.locator('main tbody tr', { hasText: name }).getByText('completed').waitFor()
}

/** An action with many goes on when its tab is closed. */
const bulk: Journey = async ({ product, page, hand, name, makeVm, go }) => {
  for (const end of ['a', 'b', 'c', 'd']) await makeVm(`${name}-${end}`)
  await go(`/vms?q=${name}`)
  await page.locator('tbody tr').nth(3).waitFor()
  await hand.press(page.getByRole('checkbox', { name: 'Select all' }))
  await hand.press(button(page.getByRole('toolbar', { name: 'Selection' }), 'Start'))
  const begun = page.waitForResponse((response) => response.url().endsWith('/bulk') && response.status() === 202)
  await hand.press(button(dialogOf(page), 'Start (4)'))
  const { id } = (await (await begun).json()) as { id: string }
  await page.close()
  const ended = async () => (await product.ask(`GET /api/operations/${id}`)).body
  await until(async () => (await ended())['ended_at'] !== null, { what: 'the end of all' })
  expect((await ended())['result']).toMatchObject({ failed: [], done: { length: 4 } })
}

/** A form that someone else has saved first is merged field by field. */
const merge: Journey = async ({ product, page, hand, name, makeVm, go }) => {
  await makeVm(name)
  await go(`/vms/${name}`)
  await hand.press(button(page, 'Edit'))
  const dialog = dialogOf(page)
  await hand.fill(field(dialog, 'memory'), '512 MiB')
  await product.ask(`PATCH /api/vms/${name}`, { json: { memory: 384, description: 'theirs' } })
  await hand.press(button(dialog, 'Save'))
  await dialog.getByText('Saved by someone else: 384 MiB').waitFor()
  expect(await field(dialog, 'description').inputValue()).toBe('theirs')
  expect(await field(dialog, 'memory').inputValue()).toBe('512 MiB')
  await hand.press(button(dialog, 'Save'))
  await dialog.waitFor({ state: 'detached' })
  expect((await product.ask(`GET /api/vms/${name}`)).body).toMatchObject({ memory: 512, description: 'theirs' })
}

export const vmJourneys: Record<string, Journey> = {
  'create a VM with cloud-init': create,
  'type in the console of a guest': console,
  'take a snapshot and restore it': snapshot,
  'clone a VM three times': clones,
  'move a VM to another node': migrate,
  'start many VMs and close the tab': bulk,
  'merge a change of someone else': merge,
}
