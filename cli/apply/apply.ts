import { readdirSync, statSync } from 'node:fs'
import { documentsIn } from '../arguments/body.ts'
import { isSet, parse, type Parsed, withGlobals } from '../arguments/parse.ts'
import { CommandError, exitCodes, usageError } from '../errors.ts'
import { ApiFailure } from '../http/failures.ts'
import type { Target } from '../http/target.ts'
import { isOperationBody, waitFor } from '../operations/wait.ts'
import { note, write } from '../output/print.ts'
import { shown } from '../output/width.ts'
import { bodyOfNew, changeText, type Fields, type Kind, kindOf, planOf } from './desired.ts'
import { hasNames, idOf } from '../actions/find-by-name.ts'
import { secondsOf, targetFrom } from '../actions/options.ts'
import { send } from '../actions/send.ts'

type Wanted = { kind: Kind; fields: Fields; name: string }
type Found = { id: string; record: Fields; etag: string | undefined }

/** `horcrux apply -f FILE`: creates or changes resources; prints created, changed or unchanged for each. */
export async function apply(words: string[]): Promise<number> {
  const parsed = parse(words, withGlobals({}), 'horcrux apply')
  const all = await wantedIn(parsed)
  const target = targetFrom(parsed)
  let code: number = exitCodes.done
  for (const wanted of all) {
    try {
      await write(`${await applied(target, wanted, parsed)}\n`)
    } catch (error) {
      if (!(error instanceof CommandError) || all.length === 1) throw error
      note(`error: ${labelOf(wanted)}: ${error.message}`)
      code ||= error.code
    }
  }
  if (isSet(parsed, 'dry-run')) note('dry run: nothing was changed')
  return code
}

/** `horcrux diff -f FILE`: shows the changes that `apply` would make. @returns 1 with --exit-code, if something differs */
export async function diff(words: string[]): Promise<number> {
  const parsed = parse(
    words,
    withGlobals({ 'exit-code': { isBoolean: true, does: 'End with 1 if something differs' } }),
    'horcrux diff',
  )
  const target = targetFrom(parsed)
  let differs = false
  for (const wanted of await wantedIn(parsed)) {
    const { kind, fields } = wanted
    const label = labelOf(wanted)
    const found = await find(target, wanted)
    if (!found) {
      differs = true
      await write(`+ ${label}\n`)
      continue
    }
    const { changes, fixed } = planOf(kind, found.record, fields)
    differs ||= changes.length + fixed.length > 0
    await write(changes.length + fixed.length === 0 ? `= ${label}\n` : `~ ${label}\n`)
    for (const change of changes) await write(`    ${changeText(kind, change)}\n`)
    for (const change of fixed) await write(`    ${changeText(kind, change)}   (cannot be changed)\n`)
  }
  return differs && isSet(parsed, 'exit-code') ? exitCodes.failed : exitCodes.done
}

/** The documents of all files, checked before anything is changed. */
async function wantedIn(parsed: Parsed): Promise<Wanted[]> {
  const files = [...(parsed.flags.get('file') ?? []), ...parsed.positionals].map(String).flatMap(filesAt)
  if (files.length === 0) throw usageError('name a file: -f FILE; - is standard input', 'horcrux apply --help')
  const documents = (await Promise.all(files.map(documentsIn))).flat()
  return documents.map((document, index) => {
    if (typeof document !== 'object' || document === null || Array.isArray(document))
      throw usageError(`document ${index + 1} is no object with a kind`)
    const { noun, ...others } = document as Fields
    // `kind` is understood too, unless the record has such a field itself.
    const { kind: word, ...rest } = others
    const kind = kindOf(noun ?? word)
    const fields = noun === undefined ? rest : others
    const name = fields[kind.key] ?? fields['name']
    if (typeof name !== 'string')
      throw usageError(`document ${index + 1} (${kind.noun}) has neither ${kind.key} nor name`)
    return { kind, fields, name }
  })
}

const labelOf = ({ kind, fields, name }: Wanted) =>
  `${kind.noun} ${shown(typeof fields['name'] === 'string' ? fields['name'] : name)}`

/** The YAML and JSON files of a folder, in the order of their names. */
function filesAt(path: string): string[] {
  if (path === '-' || !statSync(path, { throwIfNoEntry: false })?.isDirectory()) return [path]
  return readdirSync(path)
    .filter((name) => /\.(ya?ml|json)$/.test(name))
    .toSorted()
    .map((name) => `${path}/${name}`)
}

/** The resource of a document: by its id, else by its name. */
export async function find(target: Target, { kind, fields, name }: Wanted): Promise<Found | undefined> {
  const given = fields[kind.key]
  try {
    const id =
      typeof given === 'string' || !kind.list || !hasNames(kind.list) ? name : await idOf(target, kind.list, name)
    const { body, headers } = await send<Fields>(target, kind.get, { [kind.key]: id })
    return { id, record: body, etag: headers.etag }
  } catch (error) {
    if (isNotFound(error)) return undefined
    throw error
  }
}

const isNotFound = (error: unknown) =>
  (error instanceof ApiFailure && error.status === 404) ||
  (error instanceof CommandError && error.code === exitCodes.notFound)

async function applied(target: Target, wanted: Wanted, parsed: Parsed): Promise<string> {
  const { kind, fields } = wanted
  const isDry = isSet(parsed, 'dry-run')
  const found = await find(target, wanted)
  const label = labelOf(wanted)
  if (!found) {
    if (!isDry) await finish(target, await send(target, kind.create, bodyOfNew(kind, fields), { isFile: true }), parsed)
    return `${label} ${isDry ? 'would be created' : 'created'}`
  }
  const { changes, body, fixed } = planOf(kind, found.record, fields)
  if (fixed.length > 0)
    throw new CommandError(
      `${label}: ${fixed.map((change) => changeText(kind, change)).join('; ')}: this can be given only when it is created`,
      {
        code: exitCodes.conflict,
        help: [`horcrux ${kind.noun} --help`],
      },
    )
  if (changes.length === 0) return `${label} unchanged`
  const facts = changes.map((change) => changeText(kind, change)).join(', ')
  if (!isDry) await change(target, kind, found, body, parsed)
  return `${label} ${isDry ? 'would be changed' : 'changed'} (${facts})`
}

/** Changes a resource only if it is still as it was read. */
export async function change(
  target: Target,
  { update, key }: Kind,
  { id, etag }: Found,
  body: Fields,
  parsed: Parsed,
): Promise<void> {
  const headers: Record<string, string> = etag === undefined ? {} : { 'if-match': etag.replace(/^W\//, '') }
  await finish(target, await send(target, update!, { ...body, [key]: id }, { headers, isFile: true }), parsed)
}

async function finish(target: Target, { body }: { body: unknown }, parsed: Parsed): Promise<void> {
  if (!isOperationBody(body)) return
  await waitFor(target, body, { isQuiet: isSet(parsed, 'quiet'), timeoutSeconds: secondsOf(parsed, 'wait-timeout') })
}
