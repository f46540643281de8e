import { seal, unseal } from '#shared/config/secrets.ts'
import type { Params } from '#shared/contract/contract.ts'
import type { Image, images } from '#shared/contracts/container/images.ts'
import type { Violation } from '#shared/errors.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { operation } from '#shared/operation/kinds.ts'
import { checking, throwAll } from '#shared/service/violations.ts'
import type { Credentials, Images, ImageServer } from '../drivers/parts.ts'
import { imageAt, imagesOf } from './find.ts'
import { type Before, namedNow, restoreNames } from './names.ts'

type Given = Params<typeof images, 'pull'>
type Input = Pick<Given, 'node' | 'runtime'> & {
  image: string
  sealed: string | null
  server: ImageServer | null
  before: Before
}

const purpose = 'registry'

function sealedOf({ username, password }: Given, violations: Violation[]): string | null {
  if (username === undefined && password === undefined) return null
  if (username === undefined) violations.push({ field: 'username', code: 'required', message: 'goes with a password' })
  if (password === undefined) violations.push({ field: 'password', code: 'required', message: 'goes with a username' })
  return seal(JSON.stringify({ username, password }), purpose)
}

const ofServers = ['server', 'protocol', 'certificate'] as const
const ofRegistries = ['username', 'password'] as const

/** Violations of an origin that is of the other kind than the engine's, or is not named. */
export function violationsOfOrigin(given: Given, pullsFrom: Images['pullsFrom']): Violation[] {
  const refuse = (fields: readonly (keyof Given)[], message: string): Violation[] =>
    fields.filter((field) => given[field] !== undefined).map((field) => ({ field, code: 'unsupported', message }))
  if (pullsFrom === 'registry')
    return refuse(ofServers, 'the engine pulls from the registry in the name of the image, such as registry/name:tag')
  const wrong = refuse(ofRegistries, 'an image server of this engine takes no name and password')
  if (given.server !== undefined) return wrong
  const message = 'the engine knows no registry: name the image server, such as https://images.example.org'
  return [{ field: 'server', code: 'required', message }, ...wrong]
}

const serverOf = ({ server, protocol = 'simplestreams', certificate }: Given): ImageServer | null =>
  server === undefined ? null : { url: server, protocol, certificate: certificate ?? null }

// It was sealed here.
const credentialsOf = (sealed: string | null) =>
  sealed === null ? null : (JSON.parse(unseal(sealed, purpose)) as Credentials)

/** The lock on a name of an image that is being given. */
export const nameKeyOf = (node: string, runtime: string, name: string) => `image name ${node}/${runtime}/${name}`

export const pull = operation({
  accept: async (given: Given, { reserve }): Promise<Input> => {
    const { node, runtime } = given
    const violations: Violation[] = []
    const sealed = sealedOf(given, violations)
    const driver = await checking('runtime', violations, async () => imagesOf(runtime))
    if (driver) violations.push(...violationsOfOrigin(given, driver.pullsFrom))
    const reached = await checking('node', violations, () => reach(node))
    throwAll(violations)
    const image = driver!.nameOf(given.image)
    await reserve(nameKeyOf(node, runtime, image))
    const before = await namedNow(driver!, reached!, [image])
    return { node, runtime, image, sealed, server: serverOf(given), before }
  },
  run: async (op, { node, runtime, image, sealed, server, before }): Promise<Image> => {
    const driver = imagesOf(runtime)
    const work = async () => {
      const origin = { credentials: credentialsOf(sealed), server }
      return driver.pull(await reach(node), image, origin, { signal: op.signal, progress: op.progress })
    }
    const engineId = await op.step('pulling image', work, {
      undo: async () => restoreNames(driver, await reach(node), before),
    })
    return imageAt({ reached: await reach(node), runtime }, engineId)
  },
})
