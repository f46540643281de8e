import { createInterface } from 'node:readline'
import { writeFileSync } from 'node:fs'
import type { StepObserver, StepPlace } from '#shared/operation/observe.ts'
import { type Service, startServices } from '#shared/service/start.ts'

/** Stands for the process itself among the processes that it stops. */
export const itself = 0

/**
 * Stops processes at a place of an operation, in the moment that its work comes there. Several replicas wait for the place;
 * the first that makes the file `once` does it.
 */
export type Stop = Pick<StepPlace, 'kind' | 'step' | 'when'> & { pids: number[]; once: string }

/** A service as a process of its own, which stops itself or others as a line on its standard input tells. */
if (import.meta.main) {
  let armed: Stop | undefined
  createInterface({ input: process.stdin }).on('line', (line) => {
    armed = JSON.parse(line) as Stop
    process.stdout.write(`armed ${armed.once}\n`)
  })
  const observe: StepObserver = ({ kind, step, when }) => {
    if (!armed || armed.kind !== kind || armed.step !== step || armed.when !== when) return
    const { pids, once } = armed
    armed = undefined
    if (isFirst(once)) for (const pid of pids) stop(pid === itself ? process.pid : pid)
  }
  const name = process.argv[2]!
  // Of the others it must know nothing: a process works on the operations of every service that it has loaded.
  const loaded = (await import(`../../../services/${name}/service.ts`)) as Record<string, unknown>
  const service = loaded[`${name}Service`] as Service
  await startServices(service.name, [service], { observe })
}

function isFirst(once: string): boolean {
  try {
    writeFileSync(once, '', { flag: 'wx' })
    return true
  } catch {
    return false
  }
}

function stop(pid: number): void {
  process.kill(pid, 'SIGSTOP')
  // The own signal comes a moment later: nothing may be done in between.
  if (pid === process.pid) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
}
