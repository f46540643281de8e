import { expect, test } from 'vitest'
import { ownConfig } from '../../../services/container/drivers/docker/recreate.ts'
import { layerProgress, partsOf } from '../../../services/container/drivers/docker/images.ts'
import { settingsAgain } from '../../../services/container/drivers/lxd/recreate.ts'

test.each([
  ['redis', 'redis', 'latest'],
  ['redis:7', 'redis', '7'],
  ['host:5000/a/b', 'host:5000/a/b', 'latest'],
  ['host:5000/a/b:1', 'host:5000/a/b', '1'],
  ['host:5000/a/b:1@sha256:00ff', 'host:5000/a/b', 'sha256:00ff'],
])('the name of an image %s is asked for in its parts', (name, repository, tag) => {
  expect(partsOf(name)).toEqual({ repository, tag })
})

test('progress counts the bytes of all layers, each once', () => {
  const count = layerProgress()
  const detail = (current: number, total: number) => ({ current, total })
  expect(count({ status: 'Pulling from a/b', id: '1' })).toBeNull()
  expect(count({ status: 'Downloading', id: 'x', progressDetail: detail(10, 100) })).toEqual([10, 100, 'bytes'])
  expect(count({ status: 'Downloading', id: 'y', progressDetail: detail(5, 50) })).toEqual([15, 150, 'bytes'])
  expect(count({ status: 'Download complete', id: 'x' })).toEqual([105, 150, 'bytes'])
  expect(count({ status: 'Extracting', id: 'x', progressDetail: detail(1, 300) })).toEqual([105, 150, 'bytes'])
  expect(count({ status: 'Pull complete', id: 'x' })).toEqual([105, 150, 'bytes'])
})

test('progress counts layers where an engine tells no bytes', () => {
  const count = layerProgress()
  expect(count({ status: 'Pulling fs layer', id: 'x', progressDetail: {} })).toEqual([0, 1, 'steps'])
  expect(count({ status: 'Already exists', id: 'y', progressDetail: {} })).toEqual([1, 2, 'steps'])
  expect(count({ status: 'Download complete', id: 'x', progressDetail: {} })).toEqual([2, 2, 'steps'])
})

test('a container that is made again keeps what it was given, and not what its image had given it', () => {
  const image = { Env: ['PATH=/bin', 'LANG=C'], Cmd: ['/old'], WorkingDir: '/srv', Labels: { vendor: 'x' } }
  const config = {
    Env: ['PATH=/bin', 'LANG=de', 'OWN=1'],
    Cmd: ['/old'],
    WorkingDir: '/home',
    Entrypoint: null,
    Labels: { vendor: 'x', own: 'y' },
    Tty: false,
  }
  // A part of an inspection.
  expect(ownConfig(config as never, image)).toEqual({
    Env: ['LANG=de', 'OWN=1'],
    WorkingDir: '/home',
    Labels: { own: 'y' },
    Tty: false,
  })
})

test('an instance that is made again keeps its settings, except those of the engine and those that are replaced', () => {
  const instance = {
    config: {
      'limits.memory': '64MiB',
      'environment.OLD': '1',
      'user.team': 'red',
      'volatile.uuid': 'u',
      'image.os': 'x',
    },
    devices: {
      root: { type: 'disk', path: '/', pool: 'p' },
      eth0: { type: 'nic', network: 'n' },
      mount0: { type: 'disk', source: '/old', path: '/mnt' },
      web: { type: 'proxy', listen: 'tcp:0.0.0.0:80', connect: 'tcp:127.0.0.1:80' },
    },
  }
  const made = settingsAgain(instance, 'id', { env: { NEW: '2' }, mounts: [] }, 'pool')
  expect(made.config).toEqual({
    'limits.memory': '64MiB',
    'user.team': 'red',
    'environment.NEW': '2',
    'user.horcrux.id': 'id',
  })
  expect(Object.keys(made.devices).toSorted()).toEqual(['eth0', 'root', 'web'])
  expect(made.devices['root']).toEqual({ type: 'disk', path: '/', pool: 'p' })
})
