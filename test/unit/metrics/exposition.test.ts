import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { columnNames } from '#shared/contracts/metrics/catalog.ts'
import { contentTypes, endOf, familyText, formatFor } from '#shared/runtime/exposition.ts'
import { counter, gauge, histogram, ownFamilies } from '#shared/runtime/measures.ts'
import { type Exposed, subjectsText } from '../../../services/metrics/exposition/page.ts'
import { available } from '../../lab/requirements.ts'
import { createRing } from '../../../services/metrics/history/ring.ts'

const now = 1_700_000_000_000

function vm(id: string, values: Record<string, number | undefined>, age = 0, node = 'n1'): Exposed {
  const ring = createRing(columnNames('vms'), 4)
  const identity = { id: 'run', node }
  ring.push({ time: now - age, steady: now - age, identity, source: 'test', quality: 'fresh', values })
  return { subject: `vms/${id}`, ring, info: { name: `name-${id}`, node } }
}

test('a format is chosen by Accept', () => {
  const prometheus = 'application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1'
  expect(formatFor(prometheus)).toBe('openmetrics')
  expect(formatFor('text/plain;version=0.0.4')).toBe('text')
  expect(formatFor('text/plain, application/openmetrics-text;q=0.5')).toBe('text')
  expect(formatFor(undefined)).toBe('text')
  expect(contentTypes.openmetrics).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8')
})

test('a guest has a line for each number that was measured, in both formats', () => {
  const all = [vm('a', { up: 1, cpu_seconds: 12.5, memory_used_bytes: undefined, disk_read_bytes: NaN })]
  const text = subjectsText('vms', all, 'text', now)
  expect(text).toContain('horcrux_vm_info{vm="a",name="name-a",node="n1"} 1\n')
  expect(text).toContain('# TYPE horcrux_vm_cpu_seconds_total counter\nhorcrux_vm_cpu_seconds_total{vm="a"} 12.5\n')
  expect(text).not.toMatch(/memory_used|disk_read|NaN/)
  const open = subjectsText('vms', all, 'openmetrics', now)
  expect(open).toContain(
    '# TYPE horcrux_vm_cpu_seconds counter\n# UNIT horcrux_vm_cpu_seconds seconds\nhorcrux_vm_cpu_seconds_total{vm="a"} 12.5\n',
  )
})

test('numbers that are no numbers never come on the page', () => {
  const values = { up: Infinity, vcpus: -Infinity, memory_bytes: 1e308, memory_rss_bytes: NaN }
  expect(subjectsText('vms', [vm('a', values)], 'text', now)).not.toMatch(/Inf|NaN|e\+?308/)
})

test('a sample that is too old is not told as one of now', () => {
  const text = subjectsText('vms', [vm('old', { up: 1 }, 30_000)], 'text', now)
  expect(text).toContain('horcrux_vm_sample_age_seconds{vm="old"} 30\n')
  expect(text).not.toContain('horcrux_vm_up')
})

test('the page is as long as before when 10,000 VMs have come and gone, and a VM has moved 500 times', () => {
  const before = subjectsText('vms', [vm('a', { up: 1 })], 'openmetrics', now)
  const many = Array.from({ length: 10_000 }, (_, number) => vm(`m${number}`, { up: 1 }))
  expect(subjectsText('vms', many, 'openmetrics', now).length).toBeGreaterThan(before.length * 1000)
  const ring = createRing(columnNames('vms'), 4)
  for (let move = 0; move < 500; move++)
    ring.push({
      time: now + move,
      steady: now + move,
      identity: { id: `run ${move}`, node: `n${move % 7}` },
      source: 'test',
      quality: 'fresh',
      values: { up: 1 },
    })
  expect(ring.table().identities.length).toBeLessThanOrEqual(64)
  const moved = { subject: 'vms/a' as const, ring, info: { name: 'name-a', node: 'n1' } }
  expect(subjectsText('vms', [moved], 'openmetrics', now + 499)).toBe(before)
})

test('labels are escaped', () => {
  const family = {
    name: 'x',
    kind: 'gauge' as const,
    does: 'a "quote"',
    samples: () => [{ suffix: '', labels: { l: 'a"b\\c\nd' }, value: 1 }],
  }
  expect(familyText(family, 'text')).toBe(`# HELP x a \\"quote\\"\n# TYPE x gauge\nx{l="a\\"b\\\\c\\nd"} 1\n`)
})

const promtool = 'promtool'
const missing = spawnSync(promtool, ['--version']).error ? ['promtool (Debian: prometheus)'] : []

test.runIf(available('prometheus', missing))('promtool accepts the whole page', () => {
  const add = counter('horcrux_test_things', 'Things')
  add({ kind: 'a' })
  add({ kind: 'a' }, 2)
  histogram('horcrux_test_duration_seconds', 'Durations')({ kind: 'a' }, 0.02)
  gauge('horcrux_test_level', 'Level', () => 5)
  const own = ownFamilies().map((family) => familyText(family, 'text'))
  const page =
    own.join('') +
    subjectsText('vms', [vm('a', { up: 1, cpu_seconds: 1 }), vm('b', { up: 0 })], 'text', now) +
    endOf('text')
  expect(page).toContain('horcrux_test_things_total{kind="a"} 3\n')
  expect(page).toContain('horcrux_test_duration_seconds_bucket{kind="a",le="0.05"} 1\n')
  const checked = spawnSync(promtool, ['check', 'metrics'], { input: page, encoding: 'utf8' })
  expect(`${checked.stdout}${checked.stderr}`).toBe('')
  expect(checked.status).toBe(0)
})
