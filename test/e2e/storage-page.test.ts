import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { makeIdentity } from '../../services/storage/backups/keys/key-file.ts'
import { signInOn, startBrowser } from '../lab/clients/browser.ts'
import { dialogsOf } from '../lab/clients/dialogs.ts'
import { imagesOf } from '../lab/guests/disks.ts'
import { labHosts } from '../lab/hosts/lab.ts'
import { type Product, startProduct } from '../lab/product/product.ts'
import { available } from '../lab/requirements.ts'
import { virtualBoxOvf } from '../lab/storage/appliances.ts'
import { makeExt4 } from '../lab/storage/file-systems.ts'
import { manifestOf, tarOf } from '../lab/storage/hostile-images.ts'
import { until } from '../lab/wait.ts'

const { dir } = inject('run')
const [host] = labHosts
const missing = (await localHost().which('chromium')) ? [] : ['chromium']
const canRun = host !== undefined && available('chromium', missing)
const longMs = 180_000
const MiB = 2 ** 20
const GiB = 2 ** 30
const wait = { headers: { prefer: 'wait=60' } }
/** Names are fresh for each try of a test. */
let tries = 0

let product: Product
let browser: Browser
let page: Page
let dialogs: ReturnType<typeof dialogsOf>

beforeAll(async () => {
  if (!canRun) return
  const starting = startBrowser()
  product = await startProduct([host])
  browser = await starting
  page = await browser.newPage({ viewport: { width: 1280, height: 800 } })
  page.setDefaultTimeout(longMs)
  dialogs = dialogsOf(page, dir)
  await page.goto(product.url)
  await signInOn(page, 'admin', 'Sonnenblume-7')
}, longMs)
afterAll(async () => {
  await browser?.close()
  await product?.stop()
})

const folderOf = (pool: string) => `/var/lib/libvirt/images/${pool}`
async function makePool(): Promise<string> {
  const id = `p${process.pid}-${++tries}`
  const json = { id, type: 'dir', node: 'hv1', path: folderOf(id) }
  const made = await product.ask('POST /api/storage/pools', { json })
  expect(made.status, made.text).toBe(201)
  return id
}
const run = async (line: string, json: object) => {
  const ended = await product.ask(line, { ...wait, json })
  expect(ended.body['state'], ended.text).toBe('succeeded')
}
const volumesIn = async (pool: string) => {
  const { body } = await product.ask(`GET /api/storage/pools/${pool}/volumes`)
  return (body['data'] as { name: string }[]).map(({ name }) => name)
}
/** Waits until no operation is active: each holds what it changes. */
const settled = () =>
  until(
    async () => {
      const { body } = await product.ask('GET /api/operations')
      return (body['data'] as { ended_at: string | null }[]).every(({ ended_at }) => ended_at !== null)
    },
    { what: 'the end of all operations' },
  )
test.runIf(canRun)(
  'a volume and a snapshot of a running guest are downloaded, and a volume that is written is refused with the reason',
  async () => {
    const pool = await makePool()
    const { host: node } = imagesOf(host!)
    const id = `vm-${pool}`
    const vm = { id, name: id, memory: 128, cpus: 1, node: 'hv1', disks: [{ pool, size: GiB, format: 'raw' }] }
    await run('POST /api/vms', vm)
    const image = `${folderOf(pool)}/${id}-disk-0.raw`
    await node.runChecked('qemu-io', ['-f', 'raw', '-c', `write -P 161 ${MiB} ${2 * MiB}`, image])
    await run(`POST /api/vms/${id}/snapshots`, { name: 'before' })

    await page.goto(`${product.url}/storage/${pool}`)
    await dialogs.choose(`${id}-disk-0`, 'Download')
    await dialogs.inspect('download')
    const volume = await dialogs.downloaded(`${id}-disk-0.qcow2`)
    const compared = ['compare', '-f', 'qcow2', '-F', 'raw', volume, join(host!.dir, pool, `${id}-disk-0.raw`)]
    expect((await localHost().run('qemu-img', compared)).code).toBe(0)

    await run(`POST /api/vms/${id}/start`, {})
    await dialogs.choose(`${id}-disk-0`, 'Download')
    await dialogs.press('Download')
    await page.getByRole('dialog').getByText('is written by VM').waitFor()

    await page.goto(`${product.url}/vms/${id}/snapshots`)
    await dialogs.choose('before', 'Download a disk')
    const copy = await dialogs.downloaded(`${id}-disk-0.qcow2`)
    const read = ['-r', '-f', 'qcow2', '-c', `read -P 161 ${MiB} ${2 * MiB}`, '-c', `read -P 0 0 ${MiB}`, copy]
    expect((await localHost().run('qemu-io', read)).stdout).not.toContain('failed')
  },
  longMs,
)

test.runIf(canRun)(
  'a free volume and the disk of a VM are moved to another storage pool',
  async () => {
    const [from, to] = [await makePool(), await makePool()]
    const id = `vm-${from}`
    await run(`POST /api/storage/pools/${from}/volumes`, { name: 'spare', size: GiB })
    const vm = { id, name: id, memory: 128, cpus: 1, node: 'hv1', disks: [{ pool: from, size: GiB }] }
    await run('POST /api/vms', vm)
    await page.goto(`${product.url}/storage/${from}`)
    await dialogs.choose('spare', 'Move to another storage pool')
    await page.getByRole('dialog').locator('[name=pool]').fill(to)
    await dialogs.inspect('move')
    await dialogs.press('Move to another storage pool')
    await until(async () => (await volumesIn(to)).includes('spare'), { what: 'the volume there' })
    await page.locator('tbody tr', { hasText: 'spare' }).waitFor({ state: 'detached' })

    await page.goto(`${product.url}/vms/${id}/hardware`)
    await dialogs.choose('vda', 'Move to another storage pool')
    await page.getByRole('dialog').locator('[name=pool]').fill(to)
    await dialogs.inspect('move-disk')
    await dialogs.press('Move to another storage pool')
    await page.getByText(`${to}/${id}-disk-0`).waitFor()
    // The record names the new volume before the former one is deleted.
    await until(async () => (await volumesIn(from)).length === 0, { what: 'the end of the former volume' })
  },
  longMs,
)

test.runIf(canRun)(
  'orphans of a storage pool are shown, and images among them become volumes on demand only',
  async () => {
    const pool = await makePool()
    const { host: node } = imagesOf(host!)
    await run(`POST /api/storage/pools/${pool}/volumes`, { name: 'lost', size: GiB, format: 'raw' })
    await node.remove(`${folderOf(pool)}/lost.raw`)
    const found = `${folderOf(pool)}/found.qcow2`
    await node.runChecked('qemu-img', ['create', '-q', '-f', 'qcow2', found, String(GiB)])
    await page.goto(`${product.url}/storage`)
    await dialogs.choose(pool, 'Orphans')
    const dialog = page.getByRole('dialog')
    await dialog.locator('section', { hasText: 'Images without a volume' }).getByText('found').waitFor()
    await dialog.locator('section', { hasText: 'Volumes without an image' }).getByText('lost').waitFor()
    await dialogs.inspect('orphans')
    expect(await volumesIn(pool)).toEqual(['lost'])
    await dialogs.press('Make volumes of the images')
    await until(async () => (await volumesIn(pool)).includes('found'), { what: 'the volume of the image' })
  },
  longMs,
)

test.runIf(canRun)(
  'a backup store is encrypted for a recipient, mistakes stand at their fields, and the last recipient stays',
  async () => {
    const pool = await makePool()
    const [mine, spare] = [await makeIdentity(), await makeIdentity()]
    await page.goto(`${product.url}/storage/${pool}`)
    await page.getByRole('button', { name: 'Encrypt', exact: true }).click()
    const field = (name: string) => page.getByRole('dialog').locator(`[name="${name}"]`)
    const mistyped = mine.recipient.replace(/.$/, (last) => (last === 'q' ? 'p' : 'q'))
    await field('recipients.0.name').fill('mine')
    await field('recipients.0.recipient').fill(mistyped)
    await dialogs.inspect('encrypt')
    await dialogs.press('Encrypt')
    await page.getByText('its checksum does not fit').waitFor()
    await field('recipients.0.recipient').fill(mine.recipient)
    await dialogs.press('Encrypt')
    const card = page.locator('.card', { hasText: 'Encryption of backups' })
    await card.getByText(mine.recipient).waitFor()
    const remove = card.getByRole('button', { name: 'Remove', exact: true })
    expect(await remove.getAttribute('title')).toContain('the last recipient')
    await settled()

    await card.getByRole('button', { name: 'Add recipient' }).click()
    await field('name').fill('spare')
    await field('recipient').fill(spare.recipient)
    await dialogs.press('Add recipient')
    await card.getByText(spare.recipient).waitFor()
    await settled()
    await remove.first().click()
    await dialogs.inspect('remove-recipient')
    await dialogs.press('Remove')
    await card.getByText(mine.recipient).waitFor({ state: 'detached' })
    const { body } = await product.ask(`GET /api/backup-stores/${pool}/encryption`)
    expect(body['recipients']).toMatchObject([{ name: 'spare', recipient: spare.recipient }])
  },
  longMs,
)

test.runIf(canRun)(
  'an uploaded OVA becomes a virtual machine, after its plan',
  async () => {
    const pool = await makePool()
    const disk = Buffer.alloc(4 * MiB, 'part of a disk ')
    const descriptor = virtualBoxOvf({ file: 'a.raw', bytes: disk.length, capacity: GiB }, { hasNic: false })
    const ova = await tarOf([
      { name: 'a.ovf', data: descriptor },
      { name: 'a.mf', data: manifestOf({ 'a.ovf': descriptor, 'a.raw': disk }) },
      { name: 'a.raw', data: disk },
    ])
    const file = join(dir, `${pool}.ova`)
    await writeFile(file, ova)
    await page.goto(`${product.url}/storage/${pool}`)
    await page.locator('input[type=file]').setInputFiles(file)
    const dialog = page.getByRole('dialog')
    await dialog.getByRole('textbox', { name: 'Name' }).fill(`vm-${pool}`)
    await dialog.getByRole('button', { name: 'Show plan' }).click()
    await dialog.getByText('USB controller (usb)').waitFor()
    await dialog.getByRole('button', { name: 'Import VM' }).click()
    const made = async () =>
      (await product.ask(`GET /api/vms?filter=name:vm-${pool}`)).body['data'] as { id: string; disks: object[] }[]
    await until(async () => (await made()).length === 1, { what: 'the virtual machine' })
    const [vm] = await made()
    expect(vm!.disks).toMatchObject([{ pool, bus: 'sata', size_bytes: GiB }])
    await until(async () => (await product.ask(`GET /api/storage/pools/${pool}/uploads`)).body['total'] === 0, {
      what: 'the end of the upload',
    })
    await product.ask(`DELETE /api/vms/${vm!.id}?purge=true`, wait)
  },
  longMs,
)

test.runIf(canRun)(
  'the folders of a backup are browsed, and a file of it is downloaded',
  async () => {
    const pool = await makePool()
    const id = `vm-${pool}`
    const disks = [{ pool, size: GiB, format: 'raw' }]
    await run('POST /api/vms', { id, name: id, memory: 128, cpus: 1, node: 'hv1', disks })
    const tree = join(dir, `${pool}-tree`)
    await mkdir(join(tree, 'etc'), { recursive: true })
    await writeFile(join(tree, 'etc/motd'), 'from a backup\n')
    await makeExt4(`${tree}.ext4`, 64, tree)
    const image = join(host!.dir, pool, `${id}-disk-0.raw`)
    await localHost().runChecked('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'raw', `${tree}.ext4`, image])
    const store = `store-${pool}`
    const made = await product.ask('POST /api/storage/pools', { json: { id: store, type: 'dir' } })
    expect(made.status, made.text).toBe(201)
    await run('POST /api/backups', { vm_id: id, pool: store })

    await page.goto(`${product.url}/backups`)
    await dialogs.choose(id, 'Browse files')
    await dialogs.press('etc/')
    await page.getByRole('dialog').getByRole('cell', { name: 'motd', exact: true }).waitFor()
    await dialogs.inspect('backup-files')
    const file = await dialogs.downloaded('motd', 'Download motd')
    expect(await readFile(file, 'utf8')).toBe('from a backup\n')
    await dialogs.press('Parent folder')
    await page.getByRole('dialog').getByRole('button', { name: 'lost+found/' }).waitFor()
  },
  longMs,
)
