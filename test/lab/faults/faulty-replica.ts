import { setTimeout as delay } from 'node:timers/promises'
import { wholeName } from '#shared/bus/identity/service-permissions.ts'
import type { StepObserver, StepPlace } from '#shared/operation/observe.ts'
import { isRunningHere } from '#shared/operation/run.ts'
import { startServices } from '#shared/service/start.ts'
import { clusterService } from '../../../services/cluster/service.ts'
import { containerService } from '../../../services/container/service.ts'
import { migrationService } from '../../../services/migration/service.ts'
import { storageService } from '../../../services/storage/service.ts'
import { vmService } from '../../../services/vm/service.ts'
import { until } from '../wait.ts'

/** The fault of a replica and its place; it happens once, at the first place that fits. */
export type Fault = Pick<StepPlace, 'kind' | 'step' | 'when'> & { does: 'fail' | 'kill' | 'stop'; afterMs: number }

/** A replica of all services that works on operations and goes wrong as `FAULT` tells. Tests start it as a process. */
if (import.meta.main) {
  const fault = JSON.parse(process.env['FAULT'] ?? '{}') as Fault
  let isOver = false
  const observe: StepObserver = ({ operation, kind, step, when }) => {
    if (isOver || kind !== fault.kind || step !== fault.step || when !== fault.when) return undefined
    isOver = true
    return goWrong(fault, operation)
  }
  await startServices(wholeName, [clusterService, storageService, vmService, containerService, migrationService], {
    observe,
  })
  process.stdout.write(`pid ${process.pid}\nworking\n`)
}

async function goWrong({ does, afterMs }: Fault, operation: string): Promise<void> {
  if (afterMs > 0) await delay(afterMs)
  process.stdout.write('cut\n')
  if (does === 'fail') throw new Error('a fault of the test')
  process.kill(process.pid, does === 'kill' ? 'SIGKILL' : 'SIGSTOP')
  // The signal comes a moment later: nothing may be done in between.
  if (does !== 'stop') return delay(60_000)
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
  const hasLetGo = until(() => !isRunningHere(operation), { what: 'the stopped replica letting go' })
  hasLetGo.then(() => process.stdout.write('let go\n')).catch(() => undefined)
}
