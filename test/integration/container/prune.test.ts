import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { containers } from '#shared/contracts/container/containers.ts'
import { type Image, images } from '#shared/contracts/container/images.ts'
import { type PrunePlan, prunes } from '#shared/contracts/container/prunes.ts'
import { NotFoundError, PreconditionFailedError } from '#shared/errors.ts'
import { drivers } from '../../../services/container/drivers/drivers.ts'
import { type ContainerLab, startContainerLab } from '../../lab/containers/containers.ts'
import { labEngines } from '../../lab/containers/engines.ts'
import { idle } from '../../lab/containers/idle.ts'
import { done, work } from '../../lab/product/run-operation.ts'

const { engines } = await labEngines()
let lab: ContainerLab
let count = 0

beforeAll(async () => {
  lab = await startContainerLab()
})
afterAll(() => lab?.stop())

const fresh = (word: string) => `${word}-${randomBytes(3).toString('hex')}-${count++}`
const failure = (attempt: Promise<unknown>) => attempt.then(() => null).catch((error: Error) => error)

test.each(engines)(
  'stopped containers and unused images of %s are removed by the plan that was seen',
  async (runtime) => {
    const [off, on, again] = [fresh('off'), fresh('on'), fresh('again')]
    const { images: withImages, lacks } = drivers[runtime]
    const path = lab.engines.archive
    const image = withImages
      ? ((await done(lab.horcrux, images, 'import', { runtime, path, kind: 'rootfs', name: fresh('unused') })) as Image)
      : null
    const more = image ? { image: image.tags[0]!, ...(!lacks.command && { command: idle }) } : {}
    await lab.make(runtime, off, more)
    await lab.make(runtime, on, { start: true })
    const wish = { runtime, images: 'unused', only: [off, on, again, ...(image ? [image.id] : [])] }
    // The answer of an operation that is asked for its plan.
    const look = async () => (await lab.horcrux.call(prunes, 'prune', { ...wish, plan: true })) as unknown as PrunePlan

    const first = await look()
    expect(first.skipped).toEqual([])
    expect(first.remove.map(({ kind, id }) => `${kind} ${id}`)).toEqual([
      `container ${off}`,
      ...(image ? [`image ${image.id}`] : []),
    ])
    expect(first.remove[0]!.reason).toContain('it is stopped')
    if (image) {
      expect(first.remove[1]).toMatchObject({
        reason: 'only containers of this plan are made of it',
        size_bytes: image.size_bytes,
      })
      expect(first.size_bytes).toBeGreaterThanOrEqual(image.size_bytes)
    }
    expect((await look()).plan_id).toBe(first.plan_id)

    await lab.make(runtime, again)
    const meta = (ifPlan: string) => ({ meta: { ifPlan } })
    const refused = await failure(lab.horcrux.call(prunes, 'prune', wish, meta(first.plan_id)))
    expect(refused).toBeInstanceOf(PreconditionFailedError)
    expect(await lab.horcrux.call(containers, 'get', { id: off })).toMatchObject({ status: 'stopped' })

    const second = await look()
    const { state, result, error } = await work(lab.horcrux, prunes, 'prune', wish, meta(second.plan_id))
    expect(state, JSON.stringify(error)).toBe('succeeded')
    expect(result).toEqual({ removed: second.remove, kept: [] })
    for (const id of [off, again])
      expect(await failure(lab.horcrux.call(containers, 'get', { id }))).toBeInstanceOf(NotFoundError)
    if (image) expect(await failure(lab.horcrux.call(images, 'get', { id: image.id }))).toBeInstanceOf(NotFoundError)
    expect((await look()).remove).toEqual([])
    expect(await lab.horcrux.call(containers, 'get', { id: on })).toMatchObject({ status: 'running' })
    await done(lab.horcrux, containers, 'delete', { id: on, force: true })
  },
)
