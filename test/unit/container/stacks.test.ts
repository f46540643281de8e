import { expect, test } from 'vitest'
import type { ContainerRecord } from '../../../services/container/model.ts'
import { stacksOf, statusOfAll } from '../../../services/container/stacks/view.ts'

test.each([
  [['running', 'running'], 'running'],
  [['running', 'stopped'], 'partial'],
  [['running', 'paused'], 'partial'],
  [['stopped', 'paused'], 'stopped'],
  [['running', 'unknown'], 'unknown'],
] as const)('containers that are %j are a stack that is %s', (statuses, expected) => {
  expect(statusOfAll([...statuses])).toBe(expected)
})

test('containers are one stack by project, engine and node, whatever their names', () => {
  const of = (name: string, stack: string | null, runtime = 'docker', node = 'local') =>
    ({
      id: name,
      name,
      node,
      runtime,
      stack,
      status: 'running',
      labels: { 'com.docker.compose.service': `service-${name}` },
    }) as unknown as ContainerRecord
  const all = [of('b', 'web'), of('a', 'web'), of('c', 'web', 'podman'), of('d', 'web', 'docker', 'n2'), of('e', null)]
  const found = stacksOf(all, [])
  expect(found.map(({ containers }) => containers.map(({ id }) => id))).toEqual([['a', 'b'], ['c'], ['d']])
  expect(new Set(found.map(({ id }) => id)).size).toBe(3)
  expect(found[0]).toMatchObject({
    name: 'web',
    node: 'local',
    runtime: 'docker',
    status: 'running',
    managed: false,
    services: [
      { name: 'service-a', scale: null, containers: 1, running: 1 },
      { name: 'service-b', scale: null, containers: 1, running: 1 },
    ],
  })
  expect(found[0]!.containers[0]).toEqual({ id: 'a', name: 'a', service: 'service-a', status: 'running' })
})
