import { afterEach, expect, test } from 'vitest'
import type { Reach } from '#shared/contracts/cluster/nodes.ts'
import { UnavailableError } from '#shared/errors.ts'
import { healthBy } from '#shared/nodes/engine.ts'
import { engineKinds } from '#shared/nodes/engines.ts'
import { closeNodes, open } from '#shared/nodes/nodes.ts'

const node: Reach = {
  id: 'one',
  name: 'one',
  kind: 'local',
  address: '',
  port: 22,
  user: '',
  host_key: '',
  sealed_key: '',
  engine_config: { incus: { socket: '/nonexistent/incus.socket' } },
  allowed_paths: [],
  state_dir: '/nonexistent',
  accel: null,
  architecture: null,
  maintenance: false,
}

afterEach(closeNodes)

/** The engines that are other objects than before. */
const replacedBy = (change: Partial<Reach>) => {
  const before = engineKinds.map((kind) => open(node).engine(kind))
  const changed = open({ ...node, ...change })
  return engineKinds.filter((kind, index) => changed.engine(kind) !== before[index])
}

test('an engine of a node is one object, whoever asks for it, until its configuration changes', () => {
  expect(replacedBy({ maintenance: true, allowed_paths: ['/srv'] })).toEqual([])
  expect(replacedBy({ engine_config: { incus: { socket: '/nonexistent/other.socket' } } })).toEqual(['incus'])
  expect(replacedBy({ engine_config: { ...node.engine_config, libvirt: { uri: 'qemu:///session' } } })).toEqual([
    'libvirt',
  ])
})

test('all engines are replaced when the node is reached in another way', () => {
  expect(replacedBy({ name: 'renamed' })).toEqual(engineKinds)
})

test('an engine that the host does not have is absent, with the places where it was looked for', async () => {
  expect(await open(node).engine('incus').health()).toEqual({
    status: 'absent',
    reason: 'Incus is not there: no socket at /nonexistent/incus.socket',
  })
})

test('an engine is online when it tells its facts, offline when it is there and does not, and else it is a bug', async () => {
  const facts = { version: '1.2', components: { qemu: '7.2' } }
  const silent = async () => {
    throw new UnavailableError('It does not answer')
  }
  expect(await healthBy(async () => facts, silent)).toEqual({ status: 'online', reason: null, ...facts })
  expect(await healthBy(silent, async () => null)).toEqual({ status: 'offline', reason: 'It does not answer' })
  expect(await healthBy(silent, async () => 'no socket')).toEqual({ status: 'absent', reason: 'no socket' })
  // A host that cannot be asked has the engine as far as is known.
  expect(await healthBy(silent, silent)).toEqual({ status: 'offline', reason: 'It does not answer' })
  const bug = new TypeError('a bug')
  await expect(healthBy(() => Promise.reject(bug), silent)).rejects.toBe(bug)
})
