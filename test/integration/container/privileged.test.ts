import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { permissions } from '#shared/contracts/access/permissions.ts'
import { roles } from '#shared/contracts/access/roles.ts'
import { users } from '#shared/contracts/access/users.ts'
import { containers } from '#shared/contracts/container/containers.ts'
import { ForbiddenError, ValidationError } from '#shared/errors.ts'
import { drivers } from '../../../services/container/drivers/drivers.ts'
import { type ContainerLab, startContainerLab } from '../../lab/containers/containers.ts'
import { labEngines } from '../../lab/containers/engines.ts'
import { sourceOf } from '../../lab/containers/source.ts'
import { signIn } from '../../lab/people/auth.ts'
import { done } from '../../lab/product/run-operation.ts'
import { until } from '../../lab/wait.ts'

const { engines } = await labEngines()
const withPrivileges = engines.filter((runtime) => !drivers[runtime].lacks.privileged)
let lab: ContainerLab
let count = 0

beforeAll(async () => {
  lab = await startContainerLab()
})
afterAll(() => lab?.stop())

const fresh = (word: string) => `${word}-${randomBytes(3).toString('hex')}-${count++}`
const get = (id: string) => lab.horcrux.call(containers, 'get', { id })
const end = (id: string) => done(lab.horcrux, containers, 'delete', { id, force: true })
const failure = (attempt: Promise<unknown>) => attempt.then(() => null).catch((error: Error) => error)

test.each(engines)('a container of %s has the rights of the node only when it is wanted', async (runtime) => {
  const [plain, privileged] = [fresh('plain'), fresh('privileged')]
  await lab.make(runtime, plain)
  expect(await get(plain)).toMatchObject({ privileged: false })
  const given = { id: privileged, name: privileged, runtime, ...sourceOf(lab.engines, runtime), privileged: true }
  if (withPrivileges.includes(runtime)) {
    await done(lab.horcrux, containers, 'create', given)
    // As its engine has it.
    expect(await get(privileged)).toMatchObject({ privileged: true })
    await end(privileged)
  } else {
    const refused = await failure(lab.horcrux.call(containers, 'create', given))
    expect(refused).toBeInstanceOf(ValidationError)
    expect((refused as ValidationError).violations.map(({ field }) => field)).toEqual(['privileged'])
  }
  await end(plain)
})

test.runIf(withPrivileges.length > 0)(
  'the rights of the node are given only to a user with ContainerPrivileged',
  async () => {
    const [username, password, role] = [fresh('clerk'), 'Kirschkuchen-12', fresh('maker')]
    await lab.horcrux.call(users, 'create', { username, password })
    await lab.horcrux.call(roles, 'create', { name: role, description: '', privileges: ['ContainerAllocate'] })
    const subject = { kind: 'user', id: username }
    await lab.horcrux.call(permissions, 'create', { subject, role, path: '/api/containers/**' })
    const clerk = await signIn(lab.horcrux, username, password)
    const [runtime] = withPrivileges
    const id = fresh('clerks')
    const given = { id, name: id, runtime, ...sourceOf(lab.engines, runtime!) }
    const refused = await failure(clerk.call(containers, 'create', { ...given, privileged: true }))
    expect(refused).toBeInstanceOf(ForbiddenError)
    expect(refused?.message).toContain('ContainerPrivileged')
    expect(await failure(clerk.call(containers, 'create', given))).toBeNull()
    await until(async () => (await get(id)).status === 'stopped', { what: 'the container' })
    await end(id)
  },
)
