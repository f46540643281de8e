import { readFileSync } from 'node:fs'
import { usageError } from '../errors.ts'
import { looseValueOf } from './values.ts'

/** Reads YAML or JSON documents from a file, or `-` for standard input. The YAML library is loaded only for YAML. */
export async function documentsIn(file: string): Promise<unknown[]> {
  const text = textIn(file)
  if (/^\s*[{[]/.test(text)) {
    try {
      const value: unknown = JSON.parse(text)
      return Array.isArray(value) ? value : [value]
    } catch {
      // YAML may begin with a bracket too.
    }
  }
  const { parseAllDocuments } = await import('yaml')
  const documents = parseAllDocuments(text)
  const problems = documents.flatMap(({ errors }) => errors)
  if (problems.length > 0) throw usageError(`${nameOf(file)}: ${problems.map(({ message }) => message).join('\n')}`)
  return documents.map((document): unknown => document.toJS()).filter((value) => value !== null)
}

const nameOf = (file: string) => (file === '-' ? 'standard input' : file)

/** @throws CommandError that names the file */
export function textIn(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8')
  } catch (error) {
    throw usageError(`cannot read ${nameOf(file)}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`)
  }
}

/** Reads one object. @throws CommandError */
export async function objectIn(file: string): Promise<Record<string, unknown>> {
  const [first, ...more] = await documentsIn(file)
  if (more.length > 0)
    throw usageError(`${nameOf(file)} has several documents; this command takes one`, 'horcrux apply -f FILE')
  if (typeof first !== 'object' || first === null || Array.isArray(first))
    throw usageError(`${nameOf(file)} must contain an object, such as {"name": "web-1"}`)
  const { noun: _, ...fields } = first as Record<string, unknown>
  return fields
}

/** Sets the field `a.b` of `a.b=value` in a body. @throws CommandError */
export function setField(body: Record<string, unknown>, assignment: string): void {
  const at = assignment.indexOf('=')
  if (at < 1) throw usageError(`--set must be FIELD=VALUE, not '${assignment}'`)
  const path = assignment.slice(0, at).split('.')
  const last = path.pop()!
  let inner = body
  for (const part of path) {
    const next = inner[part]
    inner = (inner[part] = typeof next === 'object' && next !== null ? next : {}) as Record<string, unknown>
  }
  inner[last] = looseValueOf(assignment.slice(at + 1))
}
