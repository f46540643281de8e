import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { documentsIn } from '../arguments/body.ts'
import { parse, withGlobals } from '../arguments/parse.ts'
import { environment } from '../environment.ts'
import { CommandError, exitCodes, usageError } from '../errors.ts'
import { note, write } from '../output/print.ts'
import { change, find } from './apply.ts'
import { changeText, type Fields, type Kind, kindOf, planOf } from './desired.ts'
import { targetFrom } from '../actions/options.ts'

/** `horcrux edit NOUN NAME`: the fields that can be changed, as YAML in an editor. A draft that is refused is kept. */
export async function edit(words: string[]): Promise<number> {
  const parsed = parse(words, withGlobals({}), 'horcrux edit')
  const [noun, name, ...more] = parsed.positionals
  if (noun === undefined || name === undefined || more.length > 0)
    throw usageError('name a noun and a resource', 'horcrux edit vms web-1')
  const kind = kindOf(noun)
  const { update, key } = kind
  if (!update) throw usageError(`${kind.noun} cannot be changed after their creation`)
  const target = targetFrom(parsed)
  const found =
    (await find(target, { kind, name, fields: {} })) ??
    (await find(target, { kind, name, fields: { [kind.key]: name } }))
  if (!found)
    throw new CommandError(`there is none of ${kind.noun} with the id or name '${name}'`, {
      code: exitCodes.notFound,
      help: [`horcrux ${kind.noun} list`],
    })
  const editable = Object.fromEntries(
    Object.entries(found.record).filter(([field]) =>
      update.params.some((param) => param.name === field && !param.path),
    ),
  )
  const folder = mkdtempSync(join(tmpdir(), 'horcrux-edit-'))
  const file = join(folder, `${kind.noun}-${found.id.replaceAll(/[^\w.-]/g, '_')}.yaml`)
  writeFileSync(file, await draftOf(kind, found.id, editable), { mode: 0o600 })
  const before = readFileSync(file, 'utf8')
  let isDone = false
  try {
    openEditor(file)
    if (readFileSync(file, 'utf8') === before) {
      isDone = true
      await write(`${kind.noun} ${name} unchanged\n`)
      return exitCodes.done
    }
    const [wanted] = await documentsIn(file)
    if (typeof wanted !== 'object' || wanted === null) throw usageError('the draft is empty; nothing was changed')
    const plan = planOf(kind, found.record, wanted as Fields)
    const strange = Object.keys(wanted).filter(
      (field) =>
        field !== 'noun' &&
        field !== key &&
        !Object.hasOwn(editable, field) &&
        !update.params.some((param) => param.name === field),
    )
    if (strange.length > 0) throw usageError(`${kind.noun} have no field ${strange.join(', ')} that can be changed`)
    if (plan.changes.length > 0) await change(target, kind, found, plan.body, parsed)
    isDone = true
    const facts = plan.changes.map((one) => changeText(kind, one)).join(', ')
    await write(`${kind.noun} ${name} ${facts ? `changed (${facts})` : 'unchanged'}\n`)
    return exitCodes.done
  } finally {
    if (isDone) rmSync(folder, { recursive: true })
    else note(`your draft is kept: ${file}\nto go on: horcrux diff -f ${file}, then horcrux apply -f ${file}`)
  }
}

async function draftOf({ noun, key }: Kind, id: string, fields: Fields): Promise<string> {
  const { stringify } = await import('yaml')
  return `# ${noun} ${id}: save and close to change it; close without a change to leave it as it is.\n${stringify({ noun, [key]: id, ...fields }, { lineWidth: 0 })}`
}

/** The editor's words are split at blanks, as git and kubectl do; no shell sees them. */
function openEditor(file: string): void {
  const [program = 'vi', ...args] = environment.editor().split(/\s+/)
  const { status, error } = spawnSync(program, [...args, file], { stdio: 'inherit' })
  if (error || status !== 0)
    throw new CommandError(
      `the editor ${program} ${error ? `does not start: ${error.message}` : `has ended with ${status}`}; nothing was changed`,
      {
        help: ['EDITOR=nano horcrux edit …'],
      },
    )
}
