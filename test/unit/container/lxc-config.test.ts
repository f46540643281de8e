import { assert, constantFrom, property, string, tuple, subarray, record, option, integer } from 'fast-check'
import { expect, test } from 'vitest'
import {
  configLine,
  configOf,
  limitLines,
  limitsIn,
  mountsIn,
  parseConfig,
} from '../../../services/container/drivers/lxc/config-file.ts'
import type { Hierarchies } from '#shared/nodes/host/cgroup/hierarchies.ts'
import { infoIn, pathOf } from '#shared/nodes/lxc/tools.ts'
import type { Definition } from '../../../services/container/drivers/driver.ts'
import { configFor } from '../../../services/container/drivers/lxc/copies.ts'

const line = string({ unit: 'binary', maxLength: 60 }).filter((text) => !/[\0\n\r]/.test(text))

/** These controllers in version 1, the others in version 2. */
const hierarchies = (inVersion1: string[]): Hierarchies => ({
  version1: new Map(inVersion1.map((name) => [name, { path: `/sys/fs/cgroup/${name}`, root: '/' }])),
  version2: { path: '/sys/fs/cgroup/unified', root: '/' },
})

test('every value that is written is read back, and none writes another line', () => {
  assert(
    property(constantFrom('lxc.environment', 'lxc.uts.name'), line, (key, value) => {
      const text = configLine(key, value)
      expect(text.split('\n')).toHaveLength(1)
      expect(parseConfig(`a = b\n${text}\nc = d`)).toEqual([
        ['a', 'b'],
        [key, value],
        ['c', 'd'],
      ])
    }),
  )
  for (const value of ['a\nlxc.idmap = u 0 0 1', 'a\rb', 'a\0b'])
    expect(() => configLine('lxc.environment', value)).toThrow('line break or NUL')
})

test('mounts with blanks and backslashes keep their paths', () => {
  const path = string({ unit: 'grapheme-ascii', maxLength: 20 }).map((text) => `/${text.replaceAll('/', '')}`)
  const valid = path.filter((text) => text.length > 1)
  assert(
    property(tuple(valid, valid), ([source, target]) => {
      const definition = { name: 'x', env: {}, memory: null, cpus: null, pids: null } as unknown as Definition
      const mounts = [{ type: 'bind' as const, source, target, read_only: true }]
      const entries = parseConfig(configOf({ ...definition, mounts }, '/lxc/x', hierarchies(['memory'])))
      expect(mountsIn(entries)).toEqual(mounts)
    }),
  )
})

test('limits are read back in both versions of control groups, and where some controllers are in one and some in the other', () => {
  const limits = record({
    memory: option(integer({ min: 4, max: 100_000 })),
    cpus: option(integer({ min: 1, max: 400 }).map((hundredths) => hundredths / 100)),
    pids: option(integer({ min: 1, max: 100_000 })),
  })
  assert(
    property(limits, subarray(['memory', 'cpu', 'pids']), (wanted, inVersion1) => {
      expect(limitsIn(limitLines(wanted, hierarchies(inVersion1)))).toEqual(wanted)
    }),
  )
})

test('a name that leads out of the folder is no container', () => {
  for (const name of ['..', '.', '', 'a/b', '../x', 'a\0'])
    expect(() => pathOf({ folder: '/lxc', name })).toThrow('no container')
  expect(pathOf({ folder: '/lxc', name: '-n $(id) é' })).toBe('/lxc/-n $(id) é')
})

test('the state of a container is read from lxc-info', () => {
  expect(infoIn('State:          RUNNING\nPID:            31074\nIP:             10.0.3.5\n')).toEqual({
    status: 'running',
    pid: 31_074,
    addresses: ['10.0.3.5'],
  })
  expect(infoIn('State:          FROZEN\nPID: 7\n').status).toBe('paused')
  expect(infoIn('State: STOPPED\n')).toEqual({ status: 'stopped', pid: null, addresses: [] })
  expect(infoIn('').status).toBe('unknown')
})

test('a configuration for a copy names its folder and its name, and keeps the lines of others', () => {
  const text = [
    '# by hand',
    'lxc.rootfs.path = dir:/var/lib/lxc/a/rootfs',
    'lxc.uts.name = a',
    'lxc.net.0.hwaddr = 00:16:3e:00:00:01',
    'lxc.net.0.link = lxcbr0',
    'lxc.include = /usr/share/lxc/config/common.conf',
  ].join('\n')
  const entries = parseConfig(configFor(text, '/var/lib/lxc/b', 'b'))
  expect(entries).toEqual([
    ['lxc.rootfs.path', 'dir:/var/lib/lxc/b/rootfs'],
    ['lxc.uts.name', 'b'],
    ['lxc.net.0.link', 'lxcbr0'],
    ['lxc.include', '/usr/share/lxc/config/common.conf'],
  ])
  const ofSnapshot = parseConfig(configFor(text, '/var/lib/lxc/a/snaps/one', null))
  expect(ofSnapshot).toContainEqual(['lxc.uts.name', 'a'])
  expect(ofSnapshot).toContainEqual(['lxc.rootfs.path', 'dir:/var/lib/lxc/a/snaps/one/rootfs'])
  expect(ofSnapshot).toContainEqual(['lxc.net.0.hwaddr', '00:16:3e:00:00:01'])
})
