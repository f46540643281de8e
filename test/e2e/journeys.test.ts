import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { complaintsOf, signInOn, startBrowser } from '../lab/clients/browser.ts'
import { handOf, type Way, ways, windowOf } from '../lab/clients/hand.ts'
import { containerMaker, useEngines } from '../lab/containers/containers.ts'
import { labEngines } from '../lab/containers/engines.ts'
import { sample, seedOf } from '../lab/faults/seed.ts'
import { guestOn } from '../lab/guests/tiny-guest.ts'
import { labHosts } from '../lab/hosts/lab.ts'
import { type Product, startProduct } from '../lab/product/product.ts'
import { available } from '../lab/requirements.ts'
import { otherJourneys } from './journeys/others.ts'
import { type Journey, longMs, password, type Stage } from './journeys/stage.ts'
import { vmJourneys } from './journeys/vms.ts'

const { dir } = inject('run')
const hosts = labHosts.slice(0, 2)
const lab = await labEngines()
/** Engines whose containers write a log. */
const runtime = lab.engines.find((each) => each === 'podman' || each === 'docker')
const missing = (await localHost().which('chromium')) ? [] : ['chromium']
const canRun = hosts.length === 2 && runtime !== undefined && available('chromium', missing)

/** A run does some of the journeys, each in one way that is drawn; the torture does all in all ways. */
const seed = seedOf('journeys')
const cases = sample(Object.entries({ ...vmJourneys, ...otherJourneys }), seed, 7).flatMap(([title, journey]) =>
  sample([...ways], `${seed} ${title}`, 1).map((way) => ({ title: `${title}, by ${way}`, journey, way })),
)
let tries = 0

describe.runIf(canRun)('journeys', () => {
  let product: Product
  let browser: Browser
  let boot: Stage['boot']

  beforeAll(async () => {
    const starting = startBrowser()
    boot = await guestOn(hosts[0]!)
    product = await startProduct(hosts, { allowedPaths: [lab.dir] })
    await useEngines(product.horcrux, lab)
    browser = await starting
  }, longMs)
  afterAll(async () => {
    await browser?.close()
    await product?.stop()
  })

  const done = async (line: string, json: object) => {
    const answer = await product.ask(line, { headers: { prefer: 'wait=60' }, json })
    expect(answer.status, answer.text).toBeLessThan(300)
    if ('state' in answer.body && 'steps' in answer.body) expect(answer.body['state'], answer.text).toBe('succeeded')
  }

  async function stageOf(way: Way): Promise<{ stage: Stage; end: () => Promise<void> }> {
    const name = `journey-${++tries}`
    const context = await browser.newContext({ viewport: windowOf(way) })
    const page = await context.newPage()
    page.setDefaultTimeout(longMs / 4)
    await page.goto(product.url)
    await signInOn(page, 'admin', password)
    const container = async () => {
      const command = ['/bin/sh', '-c', 'echo first line; exec sleep 100000']
      const given = { command, labels: { journey: name }, start: true }
      return (await containerMaker(product.horcrux, lab)(runtime!, name, given)).id
    }
    const stage = {
      product,
      browser,
      page,
      hand: handOf(page, way),
      way,
      name,
      dir,
      boot,
      container,
      makeVm: (id: string, more: object = {}) =>
        done('POST /api/vms', { id, name: id, memory: 128, cpus: 1, node: 'hv1', ...more }),
      makePool: (id: string) => done('POST /api/storage/pools', { id, type: 'dir', node: 'hv1' }),
      go: async (path: string) => void (await page.goto(product.url + path)),
    }
    const end = async () => {
      await context.close()
      await product.ask(`DELETE /api/containers/${name}?force=true`)
    }
    return { stage, end }
  }

  async function walk(journey: Journey, way: Way): Promise<void> {
    const { stage, end } = await stageOf(way)
    const complaints = complaintsOf(stage.page)
    try {
      await journey(stage)
      // Refusals that a journey is about, and an upload that was cut.
      const own = /status of (401|404|409|412)|ERR_FAILED/
      expect(complaints.filter((text) => !own.test(text))).toEqual([])
    } catch (error) {
      if (!stage.page.isClosed())
        await stage.page.screenshot({ path: `${process.env['SHOTS'] ?? dir}/${stage.name}.png` })
      throw error
    } finally {
      await end()
    }
  }

  test.each(cases)('$title', ({ journey, way }) => walk(journey, way), longMs)
})
