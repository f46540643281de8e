import type { ContainerStatus } from '#shared/contracts/container/parts.ts'
import type { VmStatus } from '#shared/contracts/vm/vms.ts'

/** Power actions of a VM, and the statuses in which each is possible: for the service, and for clients that offer them. */
export const vmPowerStates = {
  start: ['stopped'],
  shutdown: ['running'],
  stop: ['running', 'paused'],
  restart: ['running'],
  reset: ['running'],
  pause: ['running'],
  resume: ['paused'],
} satisfies Record<string, VmStatus[]>

/** As `vmPowerStates`, for containers. */
export const containerPowerStates = {
  start: ['stopped'],
  stop: ['running', 'paused'],
  restart: ['running', 'paused'],
  pause: ['running'],
  // A container that runs already is left as it is.
  resume: ['paused', 'running'],
} satisfies Record<string, ContainerStatus[]>
