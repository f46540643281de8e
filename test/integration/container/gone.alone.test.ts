import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { containers } from '#shared/contracts/container/containers.ts'
import { operations } from '#shared/contracts/core/operations.ts'
import { UnavailableError } from '#shared/errors.ts'
import type { EventData } from '#shared/contracts/core/events.ts'
import { followEvents } from '#shared/events/stream.ts'
import { type ContainerLab, startContainerLab } from '../../lab/containers/containers.ts'
import { type LabEngines, missingFor, startEngines } from '../../lab/containers/start.ts'
import { stopEngines } from '../../lab/containers/stop.ts'
import { done } from '../../lab/product/run-operation.ts'
import { available } from '../../lab/requirements.ts'
import { until } from '../../lab/wait.ts'

describe.skipIf(!available('docker', await missingFor('docker')))('an engine that is killed', () => {
  let engines: LabEngines
  let lab: ContainerLab

  beforeAll(async () => {
    const { dir, pid } = inject('run')
    engines = await startEngines(join(dir, 'g'), ['docker'], pid)
    lab = await startContainerLab(engines)
  })
  afterAll(async () => {
    await lab?.stop()
    await stopEngines(engines.dir)
    await rm(engines.dir, { recursive: true, force: true })
  })

  const get = (id: string) => lab.horcrux.call(containers, 'get', { id })

  test('leaves its containers unknown; they come back with their state, and with one event of each change', async () => {
    const heard: EventData<'ContainerStatusChanged'>[] = []
    const following = followEvents({
      before: 0,
      event: ({ event }) => {
        // The type of an event names the type of its data.
        if (event.type === 'ContainerStatusChanged') heard.push(event.data as EventData<'ContainerStatusChanged'>)
      },
      lost: () => undefined,
    })
    await following.ready
    await lab.make('docker', 'kept', { start: true })
    await lab.make('docker', 'off')
    const command = { id: 'kept', command: ['sleep', '600'], timeout: 700 }
    const { id: operation } = (await lab.horcrux.call(containers, 'exec', command)) as unknown as { id: string }
    await until(async () => (await lab.horcrux.call(operations, 'get', { id: operation })).state === 'running', {
      what: 'the command',
    })
    const down = join(engines.dir, 'docker.down')
    await writeFile(down, '')
    process.kill(Number(await readFile(join(engines.dir, 'docker.pid'), 'utf8')), 'SIGKILL')

    await until(async () => (await get('kept')).status === 'unknown' && (await get('off')).status === 'unknown', {
      what: 'the unknown status',
    })
    const refused = await lab.horcrux.call(containers, 'start', { id: 'off' }).catch((error: Error) => error)
    expect(refused).toBeInstanceOf(UnavailableError)

    await rm(down)
    // Docker kills the containers of a daemon that was killed, when it comes back.
    await until(async () => (await get('kept')).status === 'stopped' && (await get('off')).status === 'stopped', {
      what: 'their state',
    })
    expect(await get('kept')).toMatchObject({ status: 'stopped', pid: null })
    const ended = await lab.horcrux.call(operations, 'wait', { id: operation, timeout: 60 }, { timeoutMs: 65_000 })
    expect(ended.result).toMatchObject({ exit_code: null, reason: 'lost' })
    const changes = (id: string) =>
      heard.flatMap(({ container_id, old_status, new_status }) =>
        container_id === id ? [`${old_status}>${new_status}`] : [],
      )
    await until(() => changes('kept').length > 2 && changes('off').length > 1, { what: 'the events' })
    expect(changes('kept')).toEqual(['stopped>running', 'running>unknown', 'unknown>stopped'])
    expect(changes('off')).toEqual(['stopped>unknown', 'unknown>stopped'])
    following.stop()
    await done(lab.horcrux, containers, 'start', { id: 'kept' })
    expect((await get('kept')).status).toBe('running')
    await done(lab.horcrux, containers, 'delete', { id: 'kept', force: true })
    await done(lab.horcrux, containers, 'delete', { id: 'off' })
  })
})
