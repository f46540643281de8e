import { type Doc, isPlainObject } from './bson.ts'
import { badValue } from './errors.ts'
import { MISSING, ownValue } from './paths.ts'
import { shellText } from './shell-text.ts'
import { checkPath, getSlot, removeSlot, setSlot, type Slot, type UpdateContext, visitPath } from './update-paths.ts'
import type { Step } from './update.ts'

const hasSource = (doc: Doc, from: string): boolean => {
  let value: unknown = doc
  for (const part of from.split('.')) {
    if (Array.isArray(value)) value = value[Number(part)]
    else value = isPlainObject(value) ? ownValue(value, part) : MISSING
    if (value === MISSING || value === undefined) return false
  }
  return true
}

/** Whether an array stands above the field that a path names. */
const leadsThroughArray = (doc: Doc, parts: readonly string[]): boolean => {
  let value: unknown = doc
  for (const part of parts) {
    if (Array.isArray(value)) return true
    value = isPlainObject(value) ? ownValue(value, part) : MISSING
  }
  return false
}

/** The steps of `$rename` for one field. */
export const rename = (from: string, target: unknown): Step[] => {
  if (typeof target !== 'string')
    throw badValue(`The 'to' field for $rename must be a string: ${from}: ${shellText(target)}`)
  if (from === target) throw badValue(`The source and target field for $rename must differ: ${from}: "${target}"`)
  for (const path of [from, target])
    if (path.split('.').some((part) => part.startsWith('$')))
      throw badValue(`The source and destination fields of $rename cannot be dynamic: ${path}`)
  const [fromParts, targetParts] = [checkPath(from), checkPath(target)]
  const move = (slot: Slot, doc: Doc, context: UpdateContext): void => {
    if (leadsThroughArray(doc, targetParts))
      throw badValue(`The destination field cannot be an array element, '${target}'`)
    if (leadsThroughArray(doc, fromParts)) throw badValue(`The source field cannot be an array element, '${from}'`)
    let source: Slot | undefined
    visitPath(doc, fromParts, false, context, (found) => (source = found))
    if (!source || getSlot(source) === MISSING) return
    setSlot(slot, getSlot(source))
    removeSlot(source)
  }
  // the source is a step that does nothing, so that a conflict with another path is seen
  const source: Step = { path: from, parts: fromParts, operation: { create: false, apply: () => {} } }
  const when = (doc: Doc): boolean => hasSource(doc, from)
  return [source, { path: target, parts: targetParts, operation: { create: true, apply: move }, when }]
}
