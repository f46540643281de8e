import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser, BrowserContext, Page, WebSocketRoute } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import type { HostProcess } from '#shared/nodes/host/host.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { missingForNats } from '../lab/bus/nats.ts'
import { complaintsOf, signInOn, startBrowser, violationsOf } from '../lab/clients/browser.ts'
import { ask } from '../lab/clients/http.ts'
import { amount, randomOf, seedOf } from '../lab/faults/seed.ts'
import { horcrux } from '../lab/machine/instance.ts'
import { type Machine, startMachine } from '../lab/machine/machine.ts'
import { repository } from '../lab/repository.ts'
import { available } from '../lab/requirements.ts'
import { until } from '../lab/wait.ts'

const missing = (await localHost().which('chromium')) ? [] : ['chromium']
const longMs = 120_000
const vms = 200
const kib = 1024
/** Sample of the cuts of the stream; `npm run torture` takes a thousand. */
const cuts = amount({ sample: 6, all: 1000 })
const seed = seedOf('cuts of the page')

type Row = { name: string; status: string }

/** A fleet that changes by itself, with the page in a browser. */
describe.skipIf(!available('nats', await missingForNats()) || !available('chromium', missing))(
  'a simulated fleet',
  () => {
    let machine: Machine
    let fleet: HostProcess
    let before: string[]
    let said = ''
    let url: string
    let password: string
    let token: string
    let browser: Browser
    let page: Page
    let state: Awaited<ReturnType<BrowserContext['storageState']>>

    beforeAll(async () => {
      machine = await startMachine(join(inject('run').dir, 'fleet'))
      before = await machine.processes()
      const words = ['env', '-C', machine.dir, 'node', horcrux, 'demo', '--fleet', String(vms), '--changes', '3']
      const settings = { HORCRUX_RATE_LIMIT: '0' }
      fleet = await machine.spawn('bash', ['-c', 'exec "$@" 2>&1', 'bash', ...words], settings)
      fleet.stdout.on('data', (chunk: Buffer) => (said += chunk.toString('utf8')))
      url = await printed(/Horcrux is ready at (\S+)\/ with a simulated fleet: 200 VMs/)
      password = await printed(/sign in +admin, password (\S+)/)
      const signIn = async () => {
        const { status, body } = await ask(url, 'POST /api/auth/login', { json: { username: 'admin', password } })
        return status === 200 && String(body['token'])
      }
      // On a busy machine the first answers may come too late.
      token = await until(signIn, { what: 'a sign-in', timeoutMs: longMs })
      browser = await startBrowser()
    }, longMs)
    afterAll(async () => {
      await browser?.close()
      await machine?.remove()
    })

    const printed = async (pattern: RegExp) =>
      until(() => pattern.exec(said)?.[1], { what: `${pattern} in the output` })
    const get = async (query: string) =>
      (await ask(url, `GET /api/vms?fields=name,status&${query}`, { token })).body as { data: Row[]; total: number }

    test('lists its VMs to the user that it prints, and measures them', async () => {
      const { status, body } = await ask(url, 'GET /api/vms?limit=5&sort=-name&facets=status', { token })
      expect({ status, total: body['total'] }).toEqual({ status: 200, total: vms })
      const counts = Object.values((body['facets'] as { status: Record<string, number> }).status)
      expect(counts.reduce((sum, count) => sum + count, 0)).toBe(vms)
      const all = ((await get('limit=1000')).data ?? []).map(({ name }) => name)
      expect((body['data'] as Row[]).map(({ name }) => name)).toEqual(all.toSorted().toReversed().slice(0, 5))
      await until(
        async () => {
          const { body: measured } = await ask(url, 'GET /api/monitoring/vms?limit=1000', { token })
          const found = (measured['data'] ?? []) as { quality: string }[]
          return found.length === vms && found.some(({ quality }) => quality === 'fresh')
        },
        { what: 'fresh measurements' },
      )
    })

    test('the sign-in takes six requests, the list of VMs twelve at most, and its code stays small', async () => {
      const context = await browser.newContext({ viewport: { width: 1280, height: 800 } })
      page = await context.newPage()
      page.setDefaultTimeout(longMs)
      const first = await loadOf(page, url, '[name=username]')
      expect(first.requests.length, first.requests.join('\n')).toBeLessThanOrEqual(6)
      expect(first.codeBytes).toBeLessThan(40 * kib)
      await signInOn(page, 'admin', password)
      state = await context.storageState()
      await context.close()
      const other = await browser.newContext({ viewport: { width: 1280, height: 800 }, storageState: state })
      page = await other.newPage()
      page.setDefaultTimeout(longMs)
      const list = await loadOf(page, `${url}/vms`, 'tbody tr')
      expect(list.requests.length, list.requests.join('\n')).toBeLessThanOrEqual(12)
      expect(list.codeBytes).toBeLessThan(100 * kib)
      // Not the whole list.
      expect(list.requests.filter((line) => line.includes('/api/vms?'))).toEqual([expect.stringContaining('limit=100')])
    })

    test('a list is searched, sorted and counted by the server, and rows are read when they come into view', async () => {
      await page.goto(`${url}/vms`)
      await page.getByText('200 in all').waitFor()
      const names = (await get('limit=1000&sort=name')).data.map(({ name }) => name)
      const box = page.locator('.table-box')
      await box.evaluate((element: { scrollTo: (x: number, y: number) => void }) => element.scrollTo(0, 1e6))
      await page.locator('tbody tr', { hasText: names.at(-1)! }).waitFor()
      await page.getByRole('button', { name: 'Name' }).click()
      await box.evaluate((element: { scrollTo: (x: number, y: number) => void }) => element.scrollTo(0, 0))
      await page.locator('tbody tr').first().getByText(names.at(-1)!).waitFor()
      const found = (await get('limit=1000&q=web%20prod')).total
      await page.fill('input[type=search]', 'web prod')
      await page.getByText(`${found} of 200`).waitFor()
      await page.getByRole('checkbox', { name: 'Select all' }).click()
      await page.getByRole('toolbar', { name: 'Selection' }).getByText(`${found} selected`).waitFor()
      await page.fill('input[type=search]', 'colour:red')
      await page.getByText('must be words and field:value terms').waitFor()
    })

    test('volumes of a storage pool, and backups, stay on the server as well; names are asked for by id', async () => {
      const requests: string[] = []
      page.on('request', (request) => void requests.push(decodeURIComponent(request.url().replace(url, ''))))
      await page.goto(`${url}/storage/shared`)
      const { body } = await ask(url, 'GET /api/storage/pools/shared/volumes?limit=1000&sort=name', { token })
      const volumes = body['data'] as { name: string; pool: string }[]
      expect(volumes.filter(({ pool }) => pool !== 'shared')).toEqual([])
      const names = volumes.map(({ name }) => name)
      await page.getByText(`${names.length} in all`).waitFor()
      const box = page.locator('.table-box')
      await box.evaluate((element: { scrollTo: (x: number, y: number) => void }) => element.scrollTo(0, 1e6))
      await page.locator('tbody tr', { hasText: names.at(-1)! }).waitFor()
      await page.fill('input[type=search]', names[7]!)
      await page.getByText(`1 of ${names.length}`).waitFor()
      const asked = requests.filter((line) => line.includes('/volumes?'))
      expect(asked.filter((line) => !/limit=(100|1)&/.test(`${line}&`))).toEqual([])
      // A disk on the page of a VM shows the name of its storage pool.
      const [vm] = (await get('limit=1&sort=name')).data
      await page.goto(`${url}/vms?q=${vm!.name}`)
      await page.getByRole('link', { name: vm!.name }).click()
      await page.getByRole('link', { name: 'Hardware' }).click()
      await page.getByText(/\/vm-\d+-disk-0/).waitFor()
      await until(() => requests.some((line) => /pools\?q=id:[\w-]+&fields=id,name&limit=1$/.test(line)), {
        what: 'the question for one name',
      })
      await page.goto(`${url}/backups`)
      await page.locator('.empty').waitFor()
    })

    test('operations and audit records of others appear in their lists, which the server searches', async () => {
      const { body } = await ask(url, 'GET /api/vms?limit=2&sort=-name&q=status:running&fields=id', { token })
      const [vm, other] = (body['data'] as { id: string }[]).map(({ id }) => id)
      await page.goto(`${url}/operations`)
      await page.locator('.empty').waitFor()
      for (const id of [vm, other]) await ask(url, `POST /api/vms/${id}/stop`, { token })
      const rows = page.locator('tbody tr')
      await rows.filter({ hasText: vm! }).getByText('succeeded').waitFor()
      await rows.filter({ hasText: other! }).getByText('succeeded').waitFor()
      await page.fill('input[type=search]', `${vm} kind:vms.stop`)
      await page.getByText('1 of 2').waitFor()
      expect(await rows.allTextContents()).toEqual([expect.stringContaining(vm!)])
      await page.goto(`${url}/audit?kind=vm_config_changed`)
      await page.locator('.empty').waitFor()
      await ask(url, `PATCH /api/vms/${other}`, { token, json: { description: 'changed' } })
      await rows.filter({ hasText: `/api/vms/${other}` }).waitFor()
      await page.goto(`${url}/audit?sort=time`)
      await rows.first().waitFor()
      const times = await page
        .locator('tbody time')
        .evaluateAll((all) => all.map((one) => one.getAttribute('datetime')))
      expect(times.length).toBeGreaterThan(3)
      expect(times).toEqual(times.toSorted())
    })

    test('the command line completes names by their first letters, which the server looks for', async () => {
      const env = { HOME: machine.dir, HORCRUX_URL: url, HORCRUX_TOKEN: token, HORCRUX_COMPLETION_TIMEOUT_MS: '10000' }
      const complete = async (word: string) =>
        (
          await localHost().run(join(repository, 'bin/horcrux'), ['__complete', '--', 'vms', 'start', word], { env })
        ).stdout
          .split('\n')
          .filter(Boolean)
          .map((line) => line.split('\t')[0]!)
      const { data } = await get('limit=1000&sort=name&q=name:app*')
      expect((await complete('app')).toSorted()).toEqual(data.map(({ name }) => name))
      expect(await complete('vm-0001')).toContain('vm-00012')
      expect(await complete('"app')).toEqual([])
    })

    test(`after ${cuts} random cuts of the stream the list is that of the server`, async () => {
      const random = randomOf(seed)
      const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, storageState: state })
      let sockets: WebSocketRoute[] = []
      await context.routeWebSocket('**/api/ws', (socket) => {
        socket.connectToServer()
        sockets.push(socket)
      })
      const cut = await context.newPage()
      cut.setDefaultTimeout(longMs)
      const complaints = complaintsOf(cut)
      const queries = ['', 'status:running', 'status:stopped', 'db', 'tags:web -status:running']
      for (let round = 0; round < cuts; round++) {
        const q = encodeURIComponent(queries[Math.floor(random() * queries.length)]!)
        if (round % 3 === 0) await cut.goto(`${url}/vms?q=${q}`)
        for (let times = Math.floor(random() * 3); times >= 0; times--) {
          await until(() => sockets.length > 0, { what: 'a stream' })
          const [lost] = sockets.splice(0)
          sockets = []
          await lost!.close()
        }
        const shown = async (): Promise<Row[]> =>
          cut.evaluate(`[...document.querySelectorAll('tbody tr:not(.spacer)')].slice(0, 12).map((row) => ({
          name: row.querySelector('a')?.textContent, status: row.querySelector('.status')?.textContent?.trim() }))`)
        const asked = new URL(cut.url()).searchParams.get('q') ?? ''
        const same = async () => {
          const right = (await get(`limit=12&sort=name&q=${encodeURIComponent(asked)}`)).data
          const has = await shown()
          return JSON.stringify(has) === JSON.stringify(right.map(({ name, status }) => ({ name, status })))
        }
        await until(same, { what: `the rows of the server for '${asked}' after cut ${round}`, intervalMs: 100 })
      }
      expect(complaints.filter((text) => !/WebSocket/.test(text))).toEqual([])
      await context.close()
    }, 1_800_000)

    test('a withdrawn right removes its rows from the page of another user at once', async () => {
      await ask(url, 'POST /api/users', { token, json: { username: 'ann', password: 'Sonnenblume-7' } })
      const [vm] = (await ask(url, 'GET /api/vms?limit=1&sort=name', { token })).body['data'] as {
        id: string
        name: string
      }[]
      const json = { subject: { kind: 'user', id: 'ann' }, role: 'VmUser', path: `/api/vms/${vm!.id}` }
      const { body: grant } = await ask(url, 'POST /api/permissions', { token, json })
      const context = await browser.newContext({ viewport: { width: 1280, height: 800 } })
      const hers = await context.newPage()
      hers.setDefaultTimeout(longMs)
      // Without timers that repeat, only an event can tell the page.
      await hers.addInitScript('window.setInterval = () => 0')
      await hers.goto(`${url}/vms`)
      await signInOn(hers, 'ann', 'Sonnenblume-7')
      const row = hers.locator('tbody tr', { hasText: vm!.name })
      await row.waitFor()
      expect((await ask(url, `DELETE /api/permissions/${String(grant['id'])}`, { token })).status).toBeLessThan(300)
      await row.waitFor({ state: 'detached' })
      await ask(url, 'POST /api/permissions', { token, json })
      await row.waitFor()
      await context.close()
    })

    test('axe finds nothing in the states of a list: data, nothing found, loading, error', async () => {
      const screen = async (path: string, selector: string) => {
        const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, storageState: state })
        const found = await context.newPage()
        found.setDefaultTimeout(longMs)
        if (path.includes('loading')) await found.route('**/api/vms?*', () => undefined)
        if (path.includes('error')) await found.route('**/api/vms?*', (route) => route.abort())
        await found.goto(url + path)
        await found.locator(selector).first().waitFor()
        for (const theme of ['light', 'dark'] as const) expect(await violationsOf(found, theme), path).toEqual([])
        await context.close()
      }
      await screen('/vms', 'tbody tr')
      await screen('/vms?q=no-such-name', '.empty')
      await screen('/vms?q=loading', '.skeleton')
      await screen('/vms?q=error', '.problem')
    })

    test('ends clean, and leaves nothing', async () => {
      const data = await printed(/data +(\S+) +\(temporary/)
      const { code } = await machine.run('bash', ['-c', 'kill -INT "$(cat "$0")"', join(data, 'run/horcrux.pid')])
      expect(code).toBe(0)
      expect((await fleet.exit).code).toBe(0)
      expect(await machine.processes()).toEqual(before)
      expect(existsSync(data)).toBe(false)
    })
  },
)

/** Opens a page, and waits for an element: the requests until then, and the bytes of scripts and styles on the wire. */
async function loadOf(page: Page, address: string, selector: string) {
  const requests: string[] = []
  const types = new Map<string, string>()
  let codeBytes = 0
  const session = await page.context().newCDPSession(page)
  page.on('request', (request) => void requests.push(`${request.method()} ${request.url()}`))
  page.on('websocket', (socket) => void requests.push(`WebSocket ${socket.url()}`))
  session.on('Network.responseReceived', ({ requestId, type }) => void types.set(requestId, type))
  session.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
    if (['Script', 'Stylesheet'].includes(types.get(requestId) ?? '')) codeBytes += encodedDataLength
  })
  await session.send('Network.enable')
  await page.goto(address)
  await page.locator(selector).first().waitFor()
  return { requests: [...requests], codeBytes }
}
