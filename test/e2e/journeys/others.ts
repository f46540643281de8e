import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TOTP, URI } from 'otpauth'
import { expect } from 'vitest'
import { signInOn } from '../../lab/clients/browser.ts'
import { handOf, windowOf } from '../../lab/clients/hand.ts'
import { until } from '../../lab/wait.ts'
import { button, dialogOf, field, type Journey, longMs, password, type Stage } from './stage.ts'

const MiB = 2 ** 20

/** A page of a user of its own, in a browser without a session. */
async function stranger({ product, browser, way, name }: Stage, path: string) {
  const made = await product.ask('POST /api/users', { json: { username: name, password } })
  expect(made.status, made.text).toBeLessThan(300)
  const context = await browser.newContext({ viewport: windowOf(way) })
  const page = await context.newPage()
  page.setDefaultTimeout(longMs)
  await page.goto(product.url + path)
  await signInOn(page, name, password)
  return { page, hand: handOf(page, way), end: () => context.close() }
}

/** A second factor is set up, and asked for at the next sign-in. */
const signIn: Journey = async (stage) => {
  const { page, hand, end } = await stranger(stage, '/account')
  const card = page.locator('section.card', { hasText: 'Second factor' })
  await hand.fill(field(card, 'password'), password)
  await page.keyboard.press('Enter')
  const code = card.getByRole('img', { name: 'QR code for the authenticator app' })
  await code.waitFor()
  // The pattern of one corner: a dark frame of seven modules around three.
  expect(await code.locator('path').getAttribute('d')).toMatch(/^M4 4h1v1h-1zM5 4h1v1h-1zM6 4/)
  const totp = URI.parse((await card.getByRole('link').getAttribute('href'))!) as TOTP
  await hand.fill(field(card, 'code'), totp.generate())
  await page.keyboard.press('Enter')
  await card.locator('pre').waitFor()
  const codes = (await card.locator('pre').innerText()).split('\n')
  expect(codes.length).toBeGreaterThan(4)

  await hand.press(page.getByRole('button', { name: stage.name }))
  const leave = page.getByRole('menuitem', { name: 'Sign out' })
  await leave.waitFor()
  if (stage.way === 'keyboard') {
    await page.keyboard.press('End')
    await page.keyboard.press('Enter')
  } else await leave.click()
  await field(page, 'username').waitFor()
  await hand.fill(field(page, 'username'), stage.name)
  await hand.fill(field(page, 'password'), password)
  await page.keyboard.press('Enter')
  // A code is good once: a recovery code is another proof.
  await hand.fill(field(page, 'totp'), codes[0]!)
  await page.keyboard.press('Enter')
  await page.waitForSelector('.shell')
  await end()
}

/** An upload that was cut goes on after a reload, where it ended, and becomes a volume. */
const upload: Journey = async ({ product, page, hand, name, dir, makePool, go }) => {
  await makePool(name)
  const file = join(dir, `disk-${name}.raw`)
  const content = Buffer.alloc(20 * MiB, 'part of a disk ')
  await writeFile(file, content)
  let sent = 0
  // The second part and all later ones are cut.
  await page.route('**/uploads/*?offset=*', (route) => (++sent > 1 ? route.abort() : route.continue()))
  await go(`/storage/${name}`)
  await hand.chooseFile(page.locator('input[type=file]'), file)
  await page.getByText('8 MiB / 20 MiB').waitFor()
  await until(() => sent > 1, { what: 'the cut' })
  await page.unroute('**/uploads/*?offset=*')
  await page.reload()
  const offsets: string[] = []
  page.on('request', (request) => {
    const offset = new URL(request.url()).searchParams.get('offset')
    if (offset !== null) offsets.push(offset)
  })
  await hand.press(button(page, 'Go on'))
  await hand.chooseFile(page.locator('input[type=file]'), file)
  const stored = `GET /api/storage/pools/${name}/volumes/disk-${name}`
  await until(async () => (await product.ask(stored)).body['size_bytes'] === content.length, { what: 'the volume' })
  expect(offsets[0]).toBe(String(8 * MiB))
  await page.locator('tbody tr', { hasText: `disk-${name}` }).waitFor()
}

/** A policy is looked at before it is applied, and kept while it can still undo itself. */
const policy: Journey = async ({ product, page, hand, name, container, go }) => {
  const id = await container()
  await go('/policies')
  await hand.press(button(page, 'Create policy').first())
  const selector = { match_labels: { journey: id } }
  const text = JSON.stringify({ id: name, pod_selector: selector, ingress: [], policy_types: ['Ingress'] })
  await hand.fill(dialogOf(page).locator('textarea'), text)
  await hand.press(button(dialogOf(page), 'Preview'))
  await dialogOf(page).getByRole('status').locator('h3').first().waitFor()
  await hand.press(button(dialogOf(page), 'Apply'))
  await hand.press(button(dialogOf(page), 'Keep the change'))
  await dialogOf(page).waitFor({ state: 'detached' })
  await page.locator('tbody tr', { hasText: name }).waitFor()
  const { body } = await product.ask(`GET /api/network-policies/${name}`)
  expect(body).toMatchObject({ id: name, selects: { length: 1 } })
  await product.ask(`DELETE /api/network-policies/${name}`)
}

const logs: Journey = async ({ page, hand, container, go }) => {
  const id = await container()
  await go(`/containers/${id}`)
  await hand.press(page.getByRole('navigation', { name: id }).getByRole('link', { name: 'Logs' }))
  const log = page.getByRole('log')
  await log.getByText('first line').waitFor()
  await hand.fill(page.locator('main input[type=search]'), 'no such words')
  await log.getByText('first line').waitFor({ state: 'detached' })
}

const alert: Journey = async ({ product, page, hand, way, name, go }) => {
  const condition = { kind: 'threshold', of: 'nodes', metric: 'memory_percent', above: 0 }
  const json = { name, description: 'Of a test', severity: 'warning', condition, for: 0 }
  const made = await product.ask('POST /api/alerts/rules', { json })
  expect(made.status, made.text).toBe(201)
  await go('/alerts')
  await page.locator('tbody tr', { hasText: name }).filter({ hasText: 'hv1' }).waitFor()
  await hand.act(`${name} nodes/hv1`, 'Acknowledge')
  await hand.fill(field(dialogOf(page), 'comment'), 'seen by hand')
  await hand.press(button(dialogOf(page), 'Acknowledge'))
  await dialogOf(page).waitFor({ state: 'detached' })
  const row = page.locator('tbody tr', { hasText: name }).filter({ hasText: 'hv1' })
  // A phone has no column for it: the verb is impossible then, and says so.
  if (way !== 'phone') await row.getByText('admin').first().waitFor()
  await product.ask(`DELETE /api/alerts/rules/${String(made.body['id'])}`)
}

/** The dialog shows the rights that a grant would give, before it is made. */
const grant: Journey = async ({ product, page, hand, name, makeVm, go }) => {
  await makeVm(name)
  await product.ask('POST /api/users', { json: { username: name, password } })
  await go('/grants')
  await hand.press(button(page, 'Grant a role').first())
  const dialog = dialogOf(page)
  await hand.fill(field(dialog, 'subject.id'), name)
  await hand.choose(field(dialog, 'role'), 'VmUser')
  await hand.fill(field(dialog, 'path'), `/api/vms/${name}`)
  await hand.press(button(dialog, 'Show plan'))
  await dialog.getByText('VmPowerMgmt').first().waitFor()
  expect((await product.ask(`GET /api/permissions?subject_id=${name}`)).body['total']).not.toBe(1)
  await hand.press(button(dialog, 'Grant a role'))
  await dialog.waitFor({ state: 'detached' })
  await page.locator('tbody tr', { hasText: name }).waitFor()
}

/** A session that has ended is a dialog above the page, and the change goes on after the sign-in. */
const session: Journey = async ({ product, page, hand, name, makeVm, go }) => {
  await makeVm(name)
  await go(`/vms/${name}`)
  await hand.press(button(page, 'Edit'))
  await hand.fill(field(dialogOf(page), 'description'), 'typed before')
  await page.context().clearCookies()
  await hand.press(button(dialogOf(page), 'Save'))
  const dialog = page.getByRole('dialog', { name: 'Your session has ended' })
  await hand.fill(field(dialog, 'password'), password)
  await page.keyboard.press('Enter')
  await dialog.waitFor({ state: 'detached' })
  const described = async () => (await product.ask(`GET /api/vms/${name}`)).body['description']
  await until(async () => (await described()) === 'typed before', { what: 'the save' })
}

export const otherJourneys: Record<string, Journey> = {
  'sign in with a second factor': signIn,
  'go on with an upload after a reload': upload,
  'preview a policy and apply it': policy,
  'read the log of a container': logs,
  'acknowledge an alert': alert,
  'grant a role after its preview': grant,
  'go on after the end of a session': session,
}
