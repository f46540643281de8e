import { nearestWord } from '../../bin/nearest-word.ts'
import { singularOf } from '../arguments/action-flags.ts'
import { CommandError, exitCodes } from '../errors.ts'
import { ApiFailure } from '../http/failures.ts'
import { ask } from '../http/request.ts'
import type { Target } from '../http/target.ts'
import { findAction, manifest } from '../manifest/manifest.ts'
import type { Action } from '../manifest/types.ts'

type Values = Record<string, unknown>
type Named = { id: string } & Record<string, string>

/** The list that an id in a path belongs to: `/vms` for the `{id}` of `/vms/{id}/snapshots`. */
export function listFor(action: Action, param: string): Action | undefined {
  const path = action.path.split(`/{${param}}`)[0]!
  const byPath = manifest().find((one) => one.method === 'GET' && one.path === path && one.result === 'page')
  if (byPath) return byPath
  // `vm_id`, `vm` and `template` name their noun.
  const word = param.replace(/_id$/, '')
  return ['', 's'].map((end) => findAction(word + end, 'list')).find((one) => one !== undefined)
}

const filled = (path: string, values: Values) =>
  path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(values[name])))

/**
 * The id of a resource that is named by its name. `values` has the ids in the path of the list.
 * @throws CommandError if several have that name, or none has it; then with the nearest name
 */
export async function idOf(target: Target, list: Action, name: string, values: Values = {}): Promise<string> {
  const path = filled(list.path, values)
  const field = nameFieldOf(list) ?? 'name'
  const filter = encodeURIComponent(`${field}:${name}`)
  const { body } = await ask<{ data: Named[] }>(target, {
    path: `${path}?filter=${filter}&fields=id,${field}&limit=10`,
  })
  const found = body.data.filter((one) => one[field] === name)
  if (found.length === 1) return found[0]!.id
  if (found.length > 1)
    throw new CommandError(
      `${found.length} ${list.noun} have the name '${name}': ${found.map(({ id }) => id).join(', ')}; use an id`,
      {
        code: exitCodes.usage,
        help: [`horcrux ${list.noun} list --filter ${field}:${name}`],
      },
    )
  throw await notFoundBy(target, { ...list, path }, name)
}

/** A failure that suggests the nearest id or name. */
async function notFoundBy(target: Target, list: Action, name: string): Promise<CommandError> {
  const field = nameFieldOf(list) ?? 'name'
  const { body } = await ask<{ data: Named[] }>(target, { path: `${list.path}?fields=id,${field}&limit=1000` })
  const words = body.data
    .flatMap((one) => [one[field], one.id])
    .filter((word) => word !== undefined && word.length < 100)
    .filter((word) => word !== '') as string[]
  const near = nearestWord(name, words)
  return new CommandError(
    `there is no ${singularOf(list.noun).replaceAll('-', ' ')} with the id or name '${name}'${near ? `; did you mean '${near}'?` : ''}`,
    {
      code: exitCodes.notFound,
      help: [`horcrux ${list.noun} list`],
    },
  )
}

/** True if a 404 is about this id, and not about something else that the request names. */
export function isMissing(error: unknown, id: string): boolean {
  if (!(error instanceof ApiFailure) || error.status !== 404) return false
  const { details, message } = error.answer ?? {}
  return details?.['id'] === id || message?.includes(`'${id}'`) === true
}

/** Text that no id can be. */
export const isNoId = (text: string) => !/^[A-Za-z0-9][A-Za-z0-9-]{0,62}$/.test(text)

/** The field that names the items of a list: their own name, or that of their VM, as of replicas. */
export function nameFieldOf(list: Action): string | undefined {
  const filters: string[] = list.params.find(({ name }) => name === 'filter')?.does?.match(/\w+/g) ?? []
  const has = (field: string) => list.fields !== undefined && Object.hasOwn(list.fields, field)
  return has('id') ? ['name', 'vm_name'].find((field) => has(field) && filters.includes(field)) : undefined
}

/** Lists of which the items have names. */
export const hasNames = (list: Action) => nameFieldOf(list) !== undefined
