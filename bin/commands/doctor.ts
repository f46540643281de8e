import { config } from '#shared/config/config.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { diagnose, type Diagnosis } from '#shared/platform/doctor.ts'
import { table } from '../table.ts'
import { readArguments, UsageError } from '../arguments.ts'
import { useRunningInstance } from '../running-instance.ts'

/** `horcrux doctor`: lists the requirements of this machine. @returns the exit code: 1 if a required one is missing */
export async function doctor(words: string[]): Promise<number> {
  const { output } = readArguments(words, { output: { type: 'string', short: 'o', default: 'table' } })
  if (output !== 'table' && output !== 'json') throw new UsageError(`-o must be table or json, not '${output}'`)
  noteInstance()
  const diagnosis = await diagnose(localHost(), config())
  process.stdout.write(output === 'json' ? `${JSON.stringify(diagnosis, null, 2)}\n` : asText(diagnosis))
  return diagnosis.healthy ? 0 : 1
}

/** Uses the data folder of the running Horcrux. Several instances are no obstacle here. */
function noteInstance(): void {
  try {
    useRunningInstance()
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    process.stderr.write(`${error.message}\n`)
  }
}

const signs = { ok: 'ok', missing: 'MISSING', note: 'note' }

function asText({ healthy, findings }: Diagnosis): string {
  const rows = findings.map(({ name, state, needed, found, needed_for, help }) => [
    state === 'missing' && !needed ? 'absent' : signs[state],
    name,
    found,
    needed_for,
    help && `-> ${help}`,
  ])
  const verdict = healthy
    ? 'Horcrux has what it needs here.'
    : 'A requirement of Horcrux is missing. As root on Debian, `npm start` installs it.'
  return `${table([['', 'what', 'found', 'for', ''], ...rows])}\n\n${verdict}\n`
}
