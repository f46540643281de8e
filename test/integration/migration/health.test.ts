import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { permissions } from '#shared/contracts/access/permissions.ts'
import { users } from '#shared/contracts/access/users.ts'
import { migrations } from '#shared/contracts/migration/migrations.ts'
import { fresh, GiB, type MovingLab, startMoving } from '../../lab/guests/moving.ts'
import { labHosts } from '../../lab/hosts/lab.ts'
import { signIn } from '../../lab/people/auth.ts'
import { done } from '../../lab/product/run-operation.ts'
import { until } from '../../lab/wait.ts'

describe.skipIf(labHosts.length === 0)('the health of a guest that has moved', () => {
  let lab: MovingLab
  /** Paths that the HTTP server was asked for: the first request is answered with 200, later ones with 500. */
  const asked = new Set<string>()
  const server = createServer((request, answer) => {
    answer.writeHead(asked.has(request.url!) ? 500 : 200)
    asked.add(request.url!)
    answer.end()
  })
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    lab = await startMoving(labHosts)
  })
  afterAll(async () => {
    server.close()
    await lab?.stop()
  })
  afterEach(() => lab?.clear())

  test('brings it back to its node when a critical check fails that passed before, and only once', async () => {
    const id = fresh('sick')
    await lab.make(id, { disks: [{ pool: 'here', size: GiB }], start: true })
    await lab.horcrux.call(migrations, 'configure', { health_rollback: true, health_tries: 1 })
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/${id}`
    const first = await lab.horcrux.call(
      migrations,
      'start',
      {
        vm_id: id,
        target_node: 'hv2',
        migration_type: 'live',
        http_checks: [{ url }],
      },
      { timeoutMs: 60_000 },
    )
    const health = () => lab.horcrux.call(migrations, 'health', { id: first.id }).then((found) => found.health)
    await until(async () => (await health())?.move_back?.state === 'started', { what: 'the move back' })
    expect(await health()).toMatchObject({ status: 'failed', consequence: 'move_back' })
    expect((await health())!.checks.filter(({ status }) => status === 'failed')).toMatchObject([
      { name: url, is_critical: true, tries: 1, reason: 'it answered 500, not 200 to 299' },
    ])

    const back = (await health())!.move_back!.migration_id
    await until(async () => (await lab.horcrux.call(migrations, 'get', { id: back })).ended_at !== null, {
      what: 'the end of the move back',
    })
    const returned = await lab.horcrux.call(migrations, 'get', { id: back })
    expect(returned).toMatchObject({ status: 'completed', target_node: 'hv1', health: { move_back: null } })
    expect(returned.reason).toContain(url)
    const vm = await lab.vm(id)
    expect([vm.node, vm.status, vm.disks[0]!.pool]).toEqual(['hv1', 'running', 'here'])
    expect(await lab.domains('hv2')).toEqual([])
    expect(await lab.volumesOf('there')).toEqual([])
  })

  test('takes the right to change the settings for requests that Horcrux sends, and refuses credentials in them', async () => {
    const id = fresh('asked')
    await lab.make(id, { disks: [] })
    const wanted = { vm_id: id, target_node: 'hv2', migration_type: 'offline' }
    const who = { username: fresh('mover'), password: 'Kirschkuchen-12' }
    await lab.horcrux.call(users, 'create', who)
    const subject = { kind: 'user', id: who.username }
    await lab.horcrux.call(permissions, 'create', { subject, role: 'VmAdmin', path: '/api/vms/**' })
    const mover = await signIn(lab.horcrux, who.username, who.password)
    const start = (url: string, by: Pick<typeof mover, 'call'> = lab.horcrux) =>
      by.call(migrations, 'start', { ...wanted, http_checks: [{ url }] })
    await expect(start('http://user:word@10.0.0.1/')).rejects.toMatchObject({ error: 'VALIDATION_ERROR' })
    await expect(start('http://10.0.0.1/?token=word')).rejects.toMatchObject({ error: 'VALIDATION_ERROR' })
    await expect(start('http://10.0.0.1/', mover)).rejects.toMatchObject({ error: 'FORBIDDEN' })
    await mover.call(migrations, 'start', { ...wanted, plan: true })
    expect(await done(lab.horcrux, migrations, 'start', wanted)).toMatchObject({ health: null, forecast: null })
  })
})
