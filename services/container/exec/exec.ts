import type { Params } from '#shared/contract/contract.ts'
import type { containers } from '#shared/contracts/container/containers.ts'
import { ConflictError, invalid } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { killMarked } from '#shared/nodes/marked-processes.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import type { ContainerEngine } from '../drivers/driver.ts'
import { driverOf } from '../drivers/drivers.ts'
import { apiPathOf, type ContainerRecord, containerRecords } from '../model.ts'
import { requireManaged, requireStatus, settle } from '../state/settle.ts'
import { capture, type Captured } from './capture.ts'
import { execRecords } from './model.ts'

type Given = Params<typeof containers, 'exec'>
type Input = Omit<Given, 'env' | 'user'> & { env: Record<string, string>; user: string | null }

/** The line in the environment of a command, and of all that it starts, by which they are found to be killed. */
const markName = 'HORCRUX_EXEC'
/** The name and the value of the line that marks a command. */
export const markOf = (id: string): [name: string, value: string] => [markName, id]

/** @throws ValidationError for an environment that marks the command already */
export function requireOwnMark(env: Record<string, string>): void {
  if (markName in env) throw invalid(`env.${markName}`, 'is set by Horcrux', 'reserved')
}

/** @throws ValidationError for a user that the engine does not know */
export function requireUser({ usersAreNumbers }: ContainerEngine, user: string | undefined): void {
  if (usersAreNumbers && user !== undefined && !/^\d+$/.test(user))
    throw invalid('user', 'must be the number of a user: this engine knows no names of them')
}

/**
 * The container, settled, when a command can run in it.
 * @throws ConflictError when it is only shown, or does not run; UnavailableError when nobody knows
 */
export async function requireRunning(id: string, action: string): Promise<ContainerRecord> {
  requireManaged(await containerRecords.require(id), action)
  const container = await settle(id)
  if (container.status === 'paused')
    throw new ConflictError(`Container '${id}' is paused; to ${action} it, resume it first`, {
      details: { status: container.status },
    })
  requireStatus(container, action, ['running'])
  return container
}

async function killAll({ node, pid }: ContainerRecord, id: string): Promise<void> {
  const { host } = await reach(node)
  if (pid !== null) await killMarked(host, pid, `${markName}=${id}`)
}

const lost: Captured = { exit_code: null, stdout: '', stderr: '', truncated: false, reason: 'lost' }

/** Runs a command once: a repetition after a crash kills what is left of it, and its outcome is lost. */
async function runOnce(op: Op, input: Input): Promise<Captured> {
  const container = await settle(input.id)
  if (await execRecords.get(op.id)) {
    await killAll(container, op.id)
    return lost
  }
  await execRecords.insert({ id: op.id, container_id: input.id, created_at: now() })
  const env = { ...input.env, [markName]: op.id }
  const { command, user, timeout } = input
  const what = { command, env, user, terminal: null, hasInput: false }
  const process = await driverOf(container).exec(container, what)
  let isLate = false
  const kill = () => killAll(container, op.id).finally(() => process.close())
  const timer = setTimeout(() => {
    isLate = true
    void kill().catch(() => undefined)
  }, timeout * 1000)
  const cancel = () => void kill().catch(() => undefined)
  op.signal.addEventListener('abort', cancel, { once: true })
  try {
    const captured = await capture(process)
    return isLate ? { ...captured, exit_code: null, reason: 'timed_out' } : captured
  } finally {
    clearTimeout(timer)
    op.signal.removeEventListener('abort', cancel)
  }
}

export const exec = operation({
  accept: async ({ id, env = {}, user, ...given }: Given, { share }): Promise<Input> => {
    requireUser(driverOf(await containerRecords.require(id)), user)
    requireOwnMark(env)
    await share(apiPathOf(id))
    await requireRunning(id, 'run a command in')
    return { id, env, user: user ?? null, ...given }
  },
  run: async (op, input: Input): Promise<Captured> => {
    const captured = await op.step('running command', () => runOnce(op, input), {
      undo: async () => {
        const container = await containerRecords.get(input.id)
        if (container) await killAll(container, op.id)
        await execRecords.removeWhere({ _id: op.id })
      },
    })
    await op.commit()
    await op.step('forgetting', () => execRecords.removeWhere({ _id: op.id }))
    return captured
  },
})
