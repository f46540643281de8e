import { flagsOf } from '../arguments/action-flags.ts'
import { isSet, type Parsed, textOf } from '../arguments/parse.ts'
import { confirm } from '../contexts/prompt.ts'
import { usageError, CommandError, exitCodes } from '../errors.ts'
import type { Action } from '../manifest/types.ts'
import { isOperationBody, waitFor } from '../operations/wait.ts'
import { note, rendered, write } from '../output/print.ts'
import { valuesFor } from './build-request.ts'
import { outputFrom, secondsOf, targetFrom } from './options.ts'
import { send } from './send.ts'

type Left = { name: string; message: string }
type Plan = { plan_id: string; does: { name: string }[]; skipped: Left[]; refused: Left[] }
type Result = { done: string[]; failed: Left[]; skipped: Left[]; refused: Left[] }

/** Plans an action with all that fit `--query`, asks, and does exactly that. @returns the exit code */
export async function runBulk(action: Action, bulk: Action, parsed: Parsed): Promise<number> {
  const command = `horcrux ${action.noun} ${action.verb} --query '${textOf(parsed, 'query')}'`
  if (parsed.positionals.length > 0) throw usageError('either names or --query can be given', command)
  const common = { ...action, params: action.params.filter(({ path }) => !path) }
  const params = await valuesFor(common, parsed, flagsOf(common))
  const asked = { action: action.verb, q: textOf(parsed, 'query'), params }
  const target = targetFrom(parsed)
  const output = outputFrom(parsed, bulk)
  const { body: plan } = await send<Plan>(target, bulk, { ...asked, plan: true })
  if (isSet(parsed, 'dry-run') && output.format !== 'table') {
    await write(await rendered(plan, output))
    return exitCodes.done
  }
  tellPlan(action, plan)
  if (isSet(parsed, 'dry-run')) return exitCodes.done
  if (plan.does.length === 0) throw new CommandError('there is nothing to do', { code: exitCodes.conflict })
  const question = `${action.verb} ${plan.does.length} of ${action.noun}?`
  if (!isSet(parsed, 'yes') && !(await confirm(question, command)))
    throw new CommandError('nothing was changed', { code: exitCodes.interrupted })
  const { body } = await send<unknown>(target, bulk, asked, { headers: { 'if-plan': plan.plan_id } })
  if (!isOperationBody(body)) throw new CommandError('the server began no operation', { code: exitCodes.failed })
  if (isSet(parsed, 'no-wait')) {
    await write(`${body.id}\n`)
    return exitCodes.done
  }
  const wish = { isQuiet: isSet(parsed, 'quiet'), timeoutSeconds: secondsOf(parsed, 'wait-timeout') }
  // The result of this action, by its contract.
  const result = (await waitFor(target, body, wish)).result as Result
  if (output.format !== 'table') await write(await rendered(result, output))
  else await write(`${action.noun} ${action.verb}: ${countsOf(result)}\n`)
  for (const { name, message } of result.failed) note(`error: ${name}: ${message}`)
  return result.failed.length > 0 ? exitCodes.operationFailed : exitCodes.done
}

/** Names that are told of a plan; the rest are counted. */
const mostNamed = 10

function tellPlan({ noun, verb }: Action, { does, skipped, refused }: Plan): void {
  const names = does.slice(0, mostNamed).map(({ name }) => name)
  note(`plan: ${verb} ${does.length} of ${noun}: ${names.join(' ')}${does.length > mostNamed ? ' …' : ''}`)
  for (const [word, left] of [
    ['skipped', skipped],
    ['refused', refused],
  ] as const) {
    for (const { name, message } of left.slice(0, mostNamed)) note(`  ${word}: ${name}: ${message}`)
    if (left.length > mostNamed) note(`  ${word}: ${left.length - mostNamed} more`)
  }
}

const countsOf = ({ done, failed, skipped, refused }: Result) =>
  `${done.length} done, ${failed.length} failed, ${skipped.length} skipped, ${refused.length} refused`
