import { isSet, parse, withGlobals } from '../arguments/parse.ts'
import { exitCodes, usageError } from '../errors.ts'
import { ask } from '../http/request.ts'
import { actionOf } from '../manifest/manifest.ts'
import { waitFor } from '../operations/wait.ts'
import type { OperationView } from '../output/progress.ts'
import { rendered, write } from '../output/print.ts'
import { outputFrom, secondsOf, targetFrom } from '../actions/options.ts'

/** `horcrux wait OPERATION`: waits until it has ended, however long that takes, and shows its progress. */
export async function wait(words: string[]): Promise<number> {
  const parsed = parse(words, withGlobals({}), 'horcrux wait')
  const [id, ...more] = parsed.positionals
  if (id === undefined || more.length > 0) throw usageError('name one operation', 'horcrux operations list')
  const target = targetFrom(parsed)
  const { body } = await ask<OperationView>(target, { path: `/operations/${encodeURIComponent(id)}` })
  const wish = { isQuiet: isSet(parsed, 'quiet'), timeoutSeconds: secondsOf(parsed, 'wait-timeout') }
  const operation = await waitFor(target, body, wish)
  const output = outputFrom(parsed, actionOf('operations', 'get'))
  if (output.format === 'table') await write(`${operation.kind} ${operation.state}\n`)
  else await write(await rendered(operation, output))
  return exitCodes.done
}
