import { isDeepStrictEqual } from 'node:util'
import { usageError } from '../errors.ts'
import { findAction, keyOf, nounOf } from '../manifest/manifest.ts'
import type { Action } from '../manifest/types.ts'
import { cellText } from '../output/cells.ts'
import { shown } from '../output/width.ts'

export type Fields = Record<string, unknown>

/** The actions by which a resource can be kept as a file says. */
export type Kind = {
  noun: string
  key: string
  get: Action
  list: Action | undefined
  create: Action
  update: Action | undefined
}

/** @throws CommandError that names the kinds there are */
export function kindOf(word: unknown): Kind {
  const noun = typeof word === 'string' ? nounOf(word) : undefined
  const kind = noun === undefined ? undefined : kindOfNoun(noun)
  if (kind) return kind
  if (word === undefined) throw usageError('a document has no noun, such as noun: vms; `get -o yaml` writes it')
  throw usageError(`'${String(word)}' cannot be applied`, 'horcrux help')
}

function kindOfNoun(noun: string): Kind | undefined {
  const get = findAction(noun, 'get')
  const create = ['create', 'register'].map((verb) => findAction(noun, verb)).find((one) => one !== undefined)
  const update = ['update', 'change', 'replace', 'set']
    .map((verb) => findAction(noun, verb))
    .find((one) => one?.noun === noun)
  // A resource inside another one, such as a volume, has several ids in its path.
  if (!get || !create || get.params.filter(({ path }) => path).length !== 1) return undefined
  return { noun, key: keyOf(noun), get, create, update, list: findAction(noun, 'list') }
}

/** A field that has another value than the file says. */
export type Change = { field: string; from: unknown; to: unknown }

export type Plan = {
  changes: Change[]
  /** Body of the update: the changed fields, or all fields of a replacement. */
  body: Fields
  /** Fields that only a creation takes. */
  fixed: Change[]
}

/**
 * Compares a record with the fields of a file. Fields that the server computes are no concern of a file: they are left
 * out, so that a record that was read can be applied as it is.
 */
export function planOf({ create, update, key }: Kind, current: Fields, wanted: Fields): Plan {
  const takes = (action: Action | undefined, name: string) =>
    action?.params.some((param) => param.name === name && !param.path) ?? false
  const changes: Change[] = []
  const fixed: Change[] = []
  for (const [field, to] of Object.entries(wanted)) {
    if (field === key || field === 'version' || contains(current[field], to)) continue
    if (takes(update, field)) changes.push({ field, from: current[field], to })
    else if (takes(create, field) && field in current) fixed.push({ field, from: current[field], to })
  }
  const isReplacement = update?.method === 'PUT'
  const whole = update?.params.filter(({ path, secret }) => !path && !secret).map(({ name }) => name) ?? []
  const body: Fields = isReplacement
    ? Object.fromEntries(
        whole.flatMap((name) => [[name, wanted[name] ?? current[name]]]).filter(([, value]) => value !== undefined),
      )
    : Object.fromEntries(changes.map(({ field, to }) => [field, to]))
  return { changes, body, fixed }
}

/** True if a record has all that is wanted: a disk that is given by pool and size has an id and a path by now. */
function contains(current: unknown, wanted: unknown): boolean {
  if (isDeepStrictEqual(current, wanted)) return true
  if (isRecord(current) && isRecord(wanted))
    return Object.entries(wanted).every(([name, value]) => contains(current[name], value))
  if (Array.isArray(current) && Array.isArray(wanted))
    return (
      current.length === wanted.length &&
      wanted.every((value, index) => isRecord(value) && contains(current[index], value))
    )
  return false
}

const isRecord = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** `memory 2 GiB → 4 GiB`. */
export function changeText({ get }: Kind, { field, from, to }: Change): string {
  const form = get.fields?.[field]
  const text = (value: unknown) =>
    shown(isRecord(value) || hasRecords(value) ? JSON.stringify(value) : cellText(value, form))
  return `${field} ${text(from)} → ${text(to)}`
}

const hasRecords = (value: unknown) => Array.isArray(value) && value.some(isRecord)

/** Fields of a file that a creation takes; fields that the server computes are left out. */
export function bodyOfNew({ create }: Kind, wanted: Fields): Fields {
  const isRecordOfServer = typeof wanted['created_at'] === 'string'
  return Object.fromEntries(
    Object.entries(wanted).filter(
      ([name, value]) => !isRecordOfServer || (value !== null && create.params.some((param) => param.name === name)),
    ),
  )
}
