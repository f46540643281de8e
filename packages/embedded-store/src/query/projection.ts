import { type Doc, isPlainObject, toNumber, typeName } from '../values/bson.ts'
import { CommandError, notImplemented } from '../errors.ts'
import { isExpressionName } from '../expressions/expression-check.ts'
import { evaluateTyped } from '../expressions/expressions.ts'
import { fieldPath } from '../values/field-path.ts'
import { type MatchContext, MISSING, ownValue } from '../values/paths.ts'
import { elemMatch, positional, slice } from './projection-operators.ts'
import { applyTree, collisionAt, emptyTree, type Leaf, plant, type Tree } from './projection-tree.ts'
import { shellText } from '../values/shell-text.ts'

export type Project = (doc: Doc, context: MatchContext) => Doc

/** What is known of a projection while it is read; `including` is undefined until a field decides it. */
type Parsing = {
  tree: Tree
  isFind: boolean
  including: boolean | undefined
  id: { isNamed: boolean; flag: boolean | undefined }
  hasPositional: boolean
  hasElemMatch: boolean
  hasSlice: boolean
}

/** One field of a projection, or of an object in one; `above` is the path of that object. */
type Field = { above: readonly string[]; name: string; value: unknown }

const asFlag = (value: unknown): boolean | undefined => {
  if (typeof value === 'boolean') return value
  const number = toNumber(value)
  return number === undefined ? undefined : number !== 0
}

const pathOf = ({ above, name }: Field): string[] => [...above, ...fieldPath(name)]

const addLeaf = (parsing: Parsing, parts: readonly string[], leaf: Leaf): void => {
  const taken = collisionAt(parsing.tree, parts)
  if (taken === parts.length) throw new CommandError(31250, `Path collision at ${parts.join('.')}`)
  if (taken !== undefined)
    throw new CommandError(
      31249,
      `Path collision at ${parts.join('.')} remaining portion ${parts.slice(taken).join('.')}`,
    )
  plant(parsing.tree, parts, leaf)
}

const decide = (parsing: Parsing, including: boolean, refused: () => CommandError): void => {
  if (parsing.including !== undefined && parsing.including !== including) throw refused()
  parsing.including = including
}

const isId = ({ above, name }: Field): boolean => above.length === 0 && name === '_id'

const addFlag = (parsing: Parsing, field: Field, flag: boolean): void => {
  addLeaf(parsing, pathOf(field), { keep: (value) => (flag ? value : MISSING) })
  // the _id may be excluded among included fields and the other way round
  if (isId(field)) parsing.id.flag = flag
  else decide(parsing, flag, () => mixed(field, flag))
}

const mixed = ({ name }: Field, including: boolean): CommandError =>
  including
    ? new CommandError(31253, `Cannot do inclusion on field ${name} in exclusion projection`)
    : new CommandError(31254, `Cannot do exclusion on field ${name} in inclusion projection`)

const addPositional = (parsing: Parsing, field: Field): void => {
  const { name, value } = field
  if (!parsing.isFind) throw new CommandError(31324, 'Cannot use positional projection in aggregation projection')
  if (isPlainObject(value))
    throw new CommandError(31271, 'positional projection cannot be used with an expression or sub object')
  const flag = asFlag(value)
  if (flag === undefined) throw new CommandError(31308, 'positional projection cannot be used with a literal')
  if (!flag) throw new CommandError(31395, 'positional projection cannot be used with exclusion')
  if (parsing.hasPositional)
    throw new CommandError(31276, 'Cannot specify more than one positional projection per query.')
  if (parsing.hasElemMatch) throw new CommandError(31256, 'Cannot specify positional operator and $elemMatch.')
  addLeaf(parsing, pathOf({ ...field, name: name.slice(0, -'.$'.length) }), { keep: positional })
  decide(parsing, true, () => mixed(field, true))
  parsing.hasPositional = true
}

const addLiteral = (parsing: Parsing, field: Field): void => {
  const compute = evaluateTyped(field.value)
  addLeaf(parsing, pathOf(field), { compute })
  decide(
    parsing,
    true,
    () =>
      new CommandError(
        31310,
        `Cannot use an expression ${field.name}: ${shellText(field.value)} in an exclusion projection`,
      ),
  )
}

const addExpression = (parsing: Parsing, parts: readonly string[], expression: Doc): void => {
  decide(parsing, true, () => new CommandError(31252, 'Cannot use expression other than $meta in exclusion projection'))
  addLeaf(parsing, parts, { compute: evaluateTyped(expression) })
}

/** A `$slice` that is none of a find may still be the expression of that name. */
const addSlice = (parsing: Parsing, parts: readonly string[], expression: Doc): void => {
  try {
    addLeaf(parsing, parts, { keep: slice(expression['$slice']) })
    parsing.hasSlice = true
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    addSliceExpression(parsing, parts, expression, `${error.codeName}: ${error.message}`)
  }
}

const addSliceExpression = (parsing: Parsing, parts: readonly string[], expression: Doc, why: string): void => {
  try {
    addExpression(parsing, parts, expression)
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    throw new CommandError(
      error.code,
      `Invalid $slice syntax. The given syntax ${shellText(expression)} did not match the find() syntax because :: ${why} :: The given syntax did not match the expression $slice syntax. :: caused by :: ${error.message}`,
    )
  }
}

const addElemMatch = (parsing: Parsing, parts: readonly string[], argument: unknown): void => {
  if (!parsing.isFind) throw new CommandError(168, 'Cannot use $elemMatch in this context')
  if (!isPlainObject(argument))
    throw new CommandError(31274, `elemMatch: Invalid argument, object required, but got ${typeName(argument)}`)
  if (parsing.hasPositional) throw new CommandError(31255, 'Cannot specify positional operator and $elemMatch.')
  const [field = ''] = parts
  if (parts.length > 1) throw new CommandError(31275, 'Cannot use $elemMatch projection on a nested field.')
  const find = elemMatch(argument)
  addLeaf(parsing, parts, { compute: (root) => find(ownValue(root, field)) })
  parsing.hasElemMatch = true
}

/** Adds an object that is an expression; says whether it is one. */
const addOperator = (parsing: Parsing, parts: readonly string[], spec: Doc): boolean => {
  const [operator = '', ...others] = Object.keys(spec)
  if (!operator.startsWith('$') || others.length > 0) return false
  if (operator === '$meta') throw notImplemented('$meta')
  if (operator === '$elemMatch') addElemMatch(parsing, parts, spec[operator])
  else if (operator === '$slice' && parsing.isFind) addSlice(parsing, parts, spec)
  else if (isExpressionName(operator)) addExpression(parsing, parts, spec)
  else throw new CommandError(31325, `Unknown expression ${operator}`)
  return true
}

const addObject = (parsing: Parsing, field: Field, spec: Doc): void => {
  if (Object.keys(spec).length === 0)
    throw new CommandError(51270, 'An empty sub-projection is not a valid value. Found empty object at path')
  const parts = pathOf(field)
  if (addOperator(parsing, parts, spec)) return
  for (const [name, value] of Object.entries(spec)) addField(parsing, { above: parts, name, value })
}

const addField = (parsing: Parsing, field: Field): void => {
  const { name, value } = field
  if (name.includes('.$.'))
    throw new CommandError(31394, "As of 4.4, it's illegal to specify positional operator in the middle of a path.")
  const flag = asFlag(value)
  if (name.endsWith('.$')) addPositional(parsing, field)
  else if (isPlainObject(value)) addObject(parsing, field, value)
  else if (flag !== undefined) addFlag(parsing, field, flag)
  else addLiteral(parsing, field)
}

/** Whether fields that are not named go, where no field has decided it. */
const includesByDefault = ({ hasSlice, hasElemMatch, id }: Parsing): boolean =>
  hasElemMatch && !hasSlice ? true : id.flag === true

const parse = (fields: [string, unknown][], isFind: boolean): Project => {
  const parsing: Parsing = {
    tree: emptyTree(),
    isFind,
    including: undefined,
    id: { isNamed: false, flag: undefined },
    hasPositional: false,
    hasElemMatch: false,
    hasSlice: false,
  }
  for (const [name, value] of fields) {
    parsing.id.isNamed ||= name === '_id' || name.startsWith('_id.')
    addField(parsing, { above: [], name, value })
  }
  const { tree, id, including = includesByDefault(parsing) } = parsing
  if (including && !id.isNamed) plant(tree, ['_id'], { keep: (value) => value })
  if (!including && id.flag === true) tree.children.delete('_id')
  return (doc, context) => applyTree(tree, doc, { including, context })
}

/** Parses the projection of a find; undefined when there is nothing to project. */
export const parseProjection = (spec: unknown): Project | undefined => {
  if (spec === undefined || spec === null) return undefined
  if (!isPlainObject(spec)) throw new CommandError(14, 'Expected field projection to be of type object')
  const fields = Object.entries(spec)
  return fields.length === 0 ? undefined : parse(fields, true)
}

/** Parses the fields of the stage `$project`, without what only a find may ask for. */
export const parseProjectStage = (fields: [string, unknown][]): ((doc: Doc) => Doc) => {
  const project = parse(fields, false)
  return (doc) => project(doc, {})
}
