import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { complaintsOf, signInOn, startBrowser } from '../lab/clients/browser.ts'
import { poolPath } from '../lab/guests/guests.ts'
import { labHosts } from '../lab/hosts/lab.ts'
import { type Product, startProduct } from '../lab/product/product.ts'
import { available } from '../lab/requirements.ts'
import { until } from '../lab/wait.ts'

const missing = (await localHost().which('chromium')) ? [] : ['chromium']
const canRun = labHosts.length > 1 && available('chromium', missing)
const longMs = 120_000
/** Names are fresh for each try of a test. */
let tries = 0

let product: Product
let browser: Browser
let page: Page
let complaints: string[]

const nodeOf = async (id: string) => (await product.ask(`GET /api/vms/${id}`)).body['node']
const make = async (line: string, json: object) => {
  const { status, text } = await product.ask(line, { headers: { prefer: 'wait=60' }, json })
  expect(status, text).toBeLessThan(300)
}

beforeAll(async () => {
  if (!canRun) return
  product = await startProduct(labHosts)
  // The machine of the tests would be as good a place for the guests.
  await make('PATCH /api/cluster/nodes/local', { maintenance: true })
  for (const node of ['hv1', 'hv2'])
    await make('POST /api/storage/pools', { id: `pool-${node}`, type: 'dir', node, path: poolPath })
  browser = await startBrowser()
  page = await browser.newPage({ viewport: { width: 1280, height: 900 } })
  // Less than a test has, so that it tells what it waited for.
  page.setDefaultTimeout(longMs / 2)
  await page.goto(product.url)
  await signInOn(page, 'admin', 'Sonnenblume-7')
  complaints = complaintsOf(page)
}, longMs)
afterAll(async () => {
  await browser?.close()
  await product?.stop()
})

test.runIf(canRun)(
  'a node is emptied from its page, after its plan, and its guests come back',
  async () => {
    const id = `drained-${++tries}`
    await make('POST /api/vms', { id, name: id, memory: 128, cpus: 1, node: 'hv1', start: true })
    await page.goto(`${product.url}/nodes/hv1`)
    await page.getByRole('button', { name: 'Its power fails' }).click()
    await page.getByRole('status').locator('li', { hasText: id }).getByText('it is not under HA').waitFor()
    await page.getByRole('button', { name: 'Plan of the drain' }).click()
    await page.locator('main ol li', { hasText: id }).getByText('hv2').waitFor()
    await page.getByRole('button', { name: 'Drain', exact: true }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Drain' }).click()
    await until(async () => (await nodeOf(id)) === 'hv2', { what: 'the guest to be on the other node' })
    await page.locator('.toasts').getByText('Drain node').waitFor()
    await page.getByRole('button', { name: 'Bring guests back' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Bring guests back' }).click()
    await until(async () => (await nodeOf(id)) === 'hv1', { what: 'the guest to be back' })
  },
  longMs,
)

test.runIf(canRun)(
  'a job of backups is made on its page, and runs',
  async () => {
    const id = `kept-${++tries}`
    const disks = [{ pool: 'pool-hv1', size: 2 ** 30 }]
    await make('POST /api/vms', { id, name: id, memory: 128, cpus: 1, node: 'hv1', disks })
    await page.goto(`${product.url}/backup-jobs`)
    await page.getByRole('button', { name: 'New backup job' }).first().click()
    const dialog = page.getByRole('dialog')
    await dialog.locator('[name=name]').fill(`nightly-${id}`)
    await dialog.locator('[name="selection.vm_id"]').fill(id)
    await dialog.locator('[name=pool]').fill('pool-hv2')
    await dialog.getByRole('button', { name: 'New backup job' }).click()
    const row = page.locator('tbody tr', { hasText: `nightly-${id}` })
    await row.waitFor()
    await row.getByRole('button', { name: /^Actions/ }).click()
    await page.getByRole('menuitem', { name: 'Run now', exact: true }).click()
    await row.getByText('1 backed up, 0 failed, 0 skipped').waitFor()
  },
  longMs,
)

test.runIf(canRun)(
  'a VM whose disks are on one node only is not put under HA, and the form says why',
  async () => {
    const id = `alone-${++tries}`
    const disks = [{ pool: 'pool-hv1', size: 2 ** 30 }]
    await make('POST /api/vms', { id, name: id, memory: 128, cpus: 1, node: 'hv1', disks })
    await page.goto(`${product.url}/ha`)
    await page.getByRole('button', { name: 'Put a VM under HA' }).first().click()
    const dialog = page.getByRole('dialog')
    await dialog.locator('[name=id]').fill(id)
    await dialog.getByRole('button', { name: 'Put a VM under HA' }).click()
    await dialog.getByRole('alert').getByText('pool-hv1').first().waitFor()
  },
  longMs,
)

test.runIf(canRun)(
  'an HA group gets its nodes with their priorities, and changes of them',
  async () => {
    const name = `front-${++tries}`
    await page.goto(`${product.url}/ha-groups`)
    await page.getByRole('button', { name: 'New HA group' }).first().click()
    const dialog = page.getByRole('dialog')
    await dialog.locator('[name=name]').fill(name)
    await dialog.locator('[name=nodes]').fill('hv1:10 hv2')
    await dialog.getByRole('button', { name: 'New HA group' }).click()
    const row = page.locator('tbody tr', { hasText: name })
    await row.getByText('hv1:10 hv2').waitFor()
    await row.getByRole('button', { name: /^Actions/ }).click()
    await page.getByRole('menuitem', { name: 'Edit', exact: true }).click()
    await dialog.locator('[name=nodes]').fill('hv2:7')
    await dialog.locator('[name=restricted]').check()
    await dialog.getByRole('button', { name: 'Edit' }).click()
    await row.getByText('hv2:7 (On no other node)').waitFor()
  },
  longMs,
)

test.runIf(canRun)(
  'guests that others have made on a node are adopted from its menu, after the plan',
  async () => {
    const [host] = labHosts
    const names = [++tries, ++tries].map((number) => `theirs-${number}`)
    for (const name of names) {
      const file = join(inject('run').dir, `${name}.xml`)
      const os = '<os><type arch="x86_64" machine="pc">hvm</type></os>'
      await writeFile(file, `<domain type="qemu"><name>${name}</name><memory unit="MiB">128</memory>${os}</domain>`)
      await localHost().runChecked('virsh', ['-q', '-c', host!.uri, 'define', file])
      // An adopted guest has the id of its VM as its name.
      onTestFinished(async () => void (await localHost().run('virsh', ['-q', '-c', host!.uri, 'undefine', name])))
    }
    await page.goto(`${product.url}/nodes`)
    await page.getByRole('button', { name: 'Actions: hv1', exact: true }).click()
    await page.getByRole('menuitem', { name: 'Adopt guests', exact: true }).click()
    const dialog = page.getByRole('dialog')
    await dialog.locator('li', { hasText: names[1]! }).getByRole('checkbox').uncheck()
    await dialog.getByRole('button', { name: 'Adopt 1', exact: true }).click()
    const found = async (name: string) => (await product.ask(`GET /api/vms?filter=name:${name}`)).body['total']
    await until(async () => (await found(names[0]!)) === 1, { what: 'the virtual machine' })
    expect(await found(names[1]!)).toBe(0)
  },
  longMs,
)

test.runIf(canRun)(
  'a job of replication is made on its page and run, and its replica is listed',
  async () => {
    const id = `copied-${++tries}`
    const disks = [{ pool: 'pool-hv1', size: 2 ** 30 }]
    await make('POST /api/vms', { id, name: id, memory: 128, cpus: 1, node: 'hv1', disks })
    await page.goto(`${product.url}/replication`)
    await page.getByRole('button', { name: 'New replication job' }).first().click()
    const dialog = page.getByRole('dialog')
    await dialog.locator('[name=name]').fill(`away-${id}`)
    await dialog.locator('[name=node]').fill('hv2')
    await dialog.locator('[name=pool]').fill('pool-hv2')
    await dialog.locator('[name="selection.vm_id"]').fill(id)
    await dialog.getByRole('button', { name: 'New replication job' }).click()
    const row = page.locator('tbody tr', { hasText: `away-${id}` })
    await row.waitFor()
    await row.getByRole('button', { name: /^Actions/ }).click()
    await page.getByRole('menuitem', { name: 'Run now', exact: true }).click()
    await row.getByText('1 replicated, 0 failed, 0 skipped').waitFor()
    await page.goto(`${product.url}/replicas`)
    await page.locator('tbody tr', { hasText: id }).getByText('completed').waitFor()
  },
  longMs,
)

test.runIf(canRun)('the page has no complaint', () => {
  // 422 of the VM that cannot be under HA.
  expect(complaints.filter((text) => !text.includes('status of 422'))).toEqual([])
})
