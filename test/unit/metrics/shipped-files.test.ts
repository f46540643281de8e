import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { columns } from '#shared/contracts/metrics/catalog.ts'
import { available } from '../../lab/requirements.ts'

const root = resolve(import.meta.dirname, '../../..')
const folder = join(root, 'monitoring')
const textOf = (file: string) => readFileSync(join(folder, file), 'utf8')

/** Metrics of nodes and VMs, and those that the code registers, by their names on the page. */
const known = new Set([
  'up',
  ...(['node', 'vm'] as const).flatMap((word) => [
    `horcrux_${word}_info`,
    `horcrux_${word}_sample_age_seconds`,
    ...Object.entries(columns[`${word}s`]).map(
      ([name, { kind }]) => `horcrux_${word}_${name}${kind === 'counter' ? '_total' : ''}`,
    ),
  ]),
  ...['shared', 'services'].flatMap((part) =>
    readdirSync(join(root, part), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts'))
      .flatMap((path) => registeredIn(readFileSync(join(root, part, path), 'utf8'))),
  ),
])

function registeredIn(text: string): string[] {
  const found = [...text.matchAll(/\b(counter|readCounter|gauge|histogram)\('([a-z_]+)'/g)]
  return found.flatMap(([, kind, name]) => {
    if (kind === 'histogram') return ['_bucket', '_sum', '_count'].map((suffix) => name! + suffix)
    return [kind === 'gauge' ? name! : `${name!}_total`]
  })
}

/** The names of metrics in expressions: words that begin as ours do. */
const namesIn = (text: string) => [...new Set(text.match(/\b(horcrux|vm_operation)_[a-z0-9_]+/g) ?? [])]

describe('the files for Prometheus and Grafana', () => {
  test.each(['horcrux-rules.yml', 'grafana-dashboard.json'])('%s names only metrics that there are', (file) => {
    const names = namesIn(textOf(file))
    expect(names.length).toBeGreaterThan(10)
    expect(names.filter((name) => !known.has(name))).toEqual([])
  })

  test('the dashboard has a query in each panel, and its own id', () => {
    const { uid, panels } = JSON.parse(textOf('grafana-dashboard.json')) as {
      uid: string
      panels: { title: string; targets: { expr: string }[] }[]
    }
    expect(uid).toBe('horcrux')
    expect(new Set(panels.map(({ title }) => title)).size).toBe(panels.length)
    for (const { targets } of panels) expect(targets.every(({ expr }) => expr.length > 0)).toBe(true)
  })

  const promtool = 'promtool'
  const missing = spawnSync(promtool, ['--version']).error ? ['promtool (Debian: prometheus)'] : []
  test.runIf(available('prometheus', missing))('promtool accepts the rules, and they fire as they should', () => {
    for (const words of [
      ['check', 'rules', 'horcrux-rules.yml'],
      ['test', 'rules', 'horcrux-rules-test.yml'],
      ['check', 'config', 'prometheus.yml'],
    ]) {
      const { status, stdout, stderr } = spawnSync(promtool, words, { cwd: folder, encoding: 'utf8' })
      expect({ status, said: status === 0 ? '' : stdout + stderr }).toEqual({ status: 0, said: '' })
    }
  })
})
