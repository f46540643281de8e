import { isMap, LineCounter, parseDocument } from 'yaml'
import { check } from '#shared/contract/validate.ts'
import { ValidationError, type Violation } from '#shared/errors.ts'
import { longForms } from './long-forms.ts'
import { Project } from './schema.ts'
import { contradictionsOf } from './contradictions.ts'

/** An alias may stand for others; more than so many are an attack on memory. */
const maxAliases = 100
/** Levels of a text cost the parser time in the square of their number. */
const maxOpenings = 10_000

const wrong = (message: string): Violation => ({ field: 'compose_file', code: 'invalid', message })

function valueOf(document: ReturnType<typeof parseDocument>): Record<string, unknown> {
  try {
    // A map has a map as its value.
    return document.toJS({ maxAliasCount: maxAliases }) as Record<string, unknown>
  } catch (error) {
    // The library throws a plain error for an alias of nothing and for a merge of no map.
    const { message } = error as Error
    throw new ValidationError([wrong(/alias count/.test(message) ? 'has too many aliases or levels' : message)])
  }
}

/** @returns the value of a YAML text, or violations of its syntax with line and column */
function read(text: string): { file?: Record<string, unknown>; violations: Violation[] } {
  if ((text.match(/[[{]/g)?.length ?? 0) > maxOpenings) return { violations: [wrong('has too many aliases or levels')] }
  try {
    const lineCounter = new LineCounter()
    const document = parseDocument(text, { uniqueKeys: true, merge: true, lineCounter, prettyErrors: false })
    const places = document.errors.map(({ message, pos }) => {
      const { line, col } = lineCounter.linePos(pos[0])
      return wrong(`is no YAML at line ${line}, column ${col}: ${message}`)
    })
    if (places.length > 0) return { violations: places.slice(0, 20) }
    if (!isMap(document.contents)) return { violations: [wrong('must be a Compose file: a map with services')] }
    return { file: valueOf(document), violations: [] }
  } catch (error) {
    if (error instanceof ValidationError) return { violations: error.violations }
    // More levels than the stack holds.
    if (!(error instanceof RangeError)) throw error
    return { violations: [wrong('has too many aliases or levels')] }
  }
}

/** Variables of the node are not replaced: `$$` is `$`. @returns the violations of all texts with a variable */
function withoutVariables(value: unknown, field: string, violations: Violation[]): unknown {
  if (typeof value === 'string') {
    if (value.replaceAll('$$', '').includes('$'))
      violations.push({ field, code: 'unsupported', message: 'has a variable, which is not replaced: write $$ for $' })
    return value.replaceAll('$$', '$')
  }
  if (Array.isArray(value)) return value.map((one, index) => withoutVariables(one, `${field}.${index}`, violations))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [key, withoutVariables(one, `${field}.${key}`, violations)]),
  )
}

/** More of one text would be no help. */
const maxViolations = 200
const unknownKey = 'is not known here'

/**
 * Reads a Compose file in the long form of each setting.
 * @throws ValidationError with all violations of fields such as `compose_file.services.web.image`
 */
export function parseProject(text: string, name: string): Project {
  const { file, violations } = read(text)
  if (!file) throw new ValidationError(violations)
  if (file['name'] !== undefined && file['name'] !== name)
    violations.push({ field: 'compose_file.name', code: 'invalid', message: `must be '${name}', or be left out` })
  const plain = withoutVariables(longForms(file), 'compose_file', violations)
  try {
    const project = check<Project>(Project, plain)
    violations.push(...contradictionsOf(project))
    if (violations.length === 0) return project
  } catch (error) {
    if (!(error instanceof ValidationError)) throw error
    violations.push(
      ...error.violations.map(({ field, code, message }) =>
        message === unknownKey
          ? { field: `compose_file.${field}`, code: 'unsupported', message: 'is not supported in a stack' }
          : { field: field === 'body' ? 'compose_file' : `compose_file.${field}`, code, message },
      ),
    )
  }
  throw new ValidationError(violations.slice(0, maxViolations))
}
