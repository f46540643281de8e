import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { GuestProbe } from '#shared/contracts/migration/health.ts'
import { askHttp, httpFailures } from '../../../services/migration/health/http.ts'
import { concludeHealth, judgeGuest } from '../../../services/migration/health/judge.ts'
import { tryChecks } from '../../../services/migration/health/tries.ts'
import { brokenDisks } from '../../../services/vm/drivers/qemu/relocation/probe.ts'

const well: GuestProbe = {
  status: 'running',
  monitor_error: null,
  memory_mib: 512,
  cpus: 2,
  broken_disks: [],
  nics: 1,
  has_agent: true,
}
const judged = (after: Partial<GuestProbe>, before: Partial<GuestProbe> = {}, how = {}) =>
  Object.fromEntries(
    judgeGuest({
      before: { ...well, ...before },
      after: { ...well, ...after },
      isPaused: false,
      isRestarted: false,
      ...how,
    })
      .filter(({ status }) => status !== 'passed')
      .map(({ name, status, reason }) => [name, `${status}: ${reason}`]),
  )

describe('the checks of a guest that has moved', () => {
  test('pass for a guest that is as before', () => {
    expect(judged({})).toEqual({})
    expect(judged({ status: 'paused' }, {}, { isPaused: true })).toEqual({
      guest_agent_responsive: 'skipped: it is paused',
    })
  })

  test('name each difference', () => {
    expect(
      judged({ status: 'paused', memory_mib: 256, cpus: 1, nics: 0, has_agent: false, broken_disks: ['vda (failed)'] }),
    ).toEqual({
      vm_running: 'failed: it is paused, not running',
      memory_allocation: 'failed: it has 256 MiB, and had 512',
      cpu_availability: 'failed: it has 1 processors, and had 2',
      disk_io: 'failed: requests have failed: vda (failed)',
      network_connectivity: 'failed: it has 0 NICs, and had 1',
      guest_agent_responsive: 'failed: its agent does not answer',
    })
    expect(Object.keys(judged({ monitor_error: 'timed out', cpus: null }))).toEqual([
      'qemu_responsive',
      'cpu_availability',
      'disk_io',
    ])
  })

  test('are skipped for what was not there before the move', () => {
    expect(judged({ nics: 0 }, { nics: 0, has_agent: false, memory_mib: null })).toEqual({
      memory_allocation: 'skipped: it was not measured before the move',
      network_connectivity: 'skipped: it has no NIC that counts packets',
      guest_agent_responsive: 'skipped: its agent did not answer before the move',
    })
    expect(judged({ has_agent: false }, {}, { isRestarted: true })).toEqual({
      guest_agent_responsive: 'skipped: it has just been started',
    })
  })

  test('find the disks whose requests failed', () => {
    const answer = [
      { device: '', qdev: 'vda', inserted: {}, 'io-status': 'ok' },
      { device: '', qdev: 'vdb', inserted: {}, 'io-status': 'nospace' },
      { device: 'cd', 'io-status': 'failed' },
      { device: 'pflash0', inserted: {} },
    ]
    expect(brokenDisks(answer)).toEqual(['vdb (nospace)'])
  })
})

test('only a failed critical check moves a guest back, and only when that is wanted', () => {
  const of = (...checks: [status: 'passed' | 'failed' | 'timeout' | 'skipped', is_critical: boolean][]) =>
    [true, false].map((mayMoveBack) => {
      const results = checks.map(([status, is_critical]) => ({
        name: 'x',
        status,
        is_critical,
        ms: 1,
        tries: 1,
        reason: null,
      }))
      const { status, consequence } = concludeHealth(results, mayMoveBack)
      return `${status} ${consequence}`
    })
  expect(of(['passed', true], ['skipped', true])).toEqual(['passed none', 'passed none'])
  expect(of(['skipped', true])).toEqual(['skipped none', 'skipped none'])
  expect(of(['passed', true], ['failed', false])).toEqual(['failed warning', 'failed warning'])
  expect(of(['passed', true], ['timeout', true])).toEqual(['failed move_back', 'failed warning'])
})

test('a check is tried again until it has passed once; the others keep their last result', async () => {
  const answers = [
    ['failed', 'failed', 'passed'],
    ['passed', 'failed', 'failed'],
    ['failed', 'timeout', 'failed'],
  ] as const
  let count = 0
  const ask = async () => {
    const row = answers[count++]!
    return row.map((status, index) => ({ name: `${index}`, is_critical: true, status, reason: null }))
  }
  const results = await tryChecks(ask, { timeoutMs: 1, tries: 3, retryMs: 0 }, new AbortController().signal)
  expect(results.map(({ name, status, tries }) => [name, status, tries])).toEqual([
    ['0', 'passed', 2],
    ['1', 'timeout', 3],
    ['2', 'passed', 1],
  ])
})

describe('an HTTP check', () => {
  const paths: string[] = []
  const server = createServer((request, answer) => {
    paths.push(request.url!)
    if (request.url === '/silent') return
    if (request.url === '/moved') answer.writeHead(302, { location: '/fine' })
    else answer.writeHead(request.url === '/fine' ? 204 : 500)
    answer.end()
  })
  beforeAll(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)))
  afterAll(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = (path: string) => `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`

  test('passes on the expected status, and follows no redirection', async () => {
    const of = async (path: string, expected_status?: number) => {
      const { status, reason } = await askHttp({ url: url(path), ...(expected_status && { expected_status }) }, 10_000)
      return [status, reason]
    }
    expect(await of('/fine')).toEqual(['passed', null])
    expect(await of('/broken', 500)).toEqual(['passed', null])
    expect(await of('/fine', 200)).toEqual(['failed', 'it answered 204, not 200'])
    paths.length = 0
    expect(await of('/moved')).toEqual(['failed', 'it answered 302, not 200 to 299'])
    expect(paths).toEqual(['/moved'])
  })

  test('says that nothing answers', async () => {
    expect(await askHttp({ url: url('/silent') }, 50)).toMatchObject({ status: 'timeout' })
    expect(await askHttp({ url: 'http://127.0.0.1:1/' }, 10_000)).toMatchObject({ status: 'failed' })
  })

  test('that failed before the move is skipped after it', async () => {
    const checks = [{ url: url('/fine') }, { url: url('/broken') }]
    const failures = await httpFailures(checks, 10_000)
    expect(failures).toEqual([{ url: url('/broken'), reason: 'it answered 500, not 200 to 299' }])
    expect(await askHttp(checks[1]!, 10_000, failures[0]!.reason)).toMatchObject({ status: 'skipped' })
  })
})
