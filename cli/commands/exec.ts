import { parse, textOf, withGlobals } from '../arguments/parse.ts'
import { CommandError, exitCodes, usageError } from '../errors.ts'
import { actionOf } from '../manifest/manifest.ts'
import { isOperationBody, waitFor } from '../operations/wait.ts'
import { write } from '../output/print.ts'
import { secondsOf, targetFrom } from '../actions/options.ts'
import { send } from '../actions/send.ts'

type ExecResult = { exit_code: number | null; stdout: string; stderr: string; truncated: boolean; reason: string }

const flags = {
  env: { value: 'NAME=VALUE', isMultiple: true, does: 'Environment of the command; repeatable' },
  user: { short: 'u', value: 'USER', does: 'User in the container' },
  timeout: { value: 'TIME', does: 'Kill the command after this time; default 60' },
}

/** `horcrux exec CONTAINER -- COMMAND`: runs a command and passes its output and exit code on. */
export async function exec(words: string[]): Promise<number> {
  const parsed = parse(words, withGlobals(flags), 'horcrux exec')
  const [id, ...more] = parsed.positionals
  const command = [...more, ...parsed.rest]
  if (id === undefined || command.length === 0)
    throw usageError('name a container and a command', 'horcrux exec CONTAINER -- COMMAND')
  const env = Object.fromEntries((parsed.flags.get('env') ?? []).map((pair) => splitPair(String(pair))))
  const timeout = secondsOf(parsed, 'timeout')
  const user = textOf(parsed, 'user')
  const values = {
    id,
    command,
    ...(Object.keys(env).length > 0 && { env }),
    ...(user !== undefined && { user }),
    ...(timeout !== undefined && { timeout }),
  }
  const target = targetFrom(parsed)
  const { body } = await send(target, actionOf('containers', 'exec'), values, { headers: { prefer: 'wait=1' } })
  if (!isOperationBody(body)) throw new CommandError('the server answered no operation')
  // The operation's result is that of containers.exec in the contract.
  const result = (await waitFor(target, body, { isQuiet: true })).result as ExecResult
  await write(result.stdout)
  process.stderr.write(result.stderr)
  if (result.truncated) process.stderr.write('[horcrux] the output is cut after 256 KiB\n')
  return codeOf(result)
}

/** Exit codes of a shell for a command that could not run (POSIX, 2.8.2), and of timeout(1). */
function codeOf({ exit_code, reason }: ExecResult): number {
  if (exit_code !== null) return exit_code
  return { not_found: 127, not_executable: 126, timed_out: 124 }[reason] ?? exitCodes.operationFailed
}

function splitPair(pair: string): [string, string] {
  const at = pair.indexOf('=')
  if (at < 1) throw usageError(`--env must be NAME=VALUE, not '${pair}'`)
  return [pair.slice(0, at), pair.slice(at + 1)]
}
