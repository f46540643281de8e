/** Power actions of a VM, and the statuses in which each is possible: for the service, and for clients that offer them. */
export const vmPowerStates = {
  start: ['stopped'],
  shutdown: ['running'],
  stop: ['running', 'paused'],
  restart: ['running'],
  reset: ['running'],
  pause: ['running'],
  resume: ['paused'],
} as const

/** As `vmPowerStates`, for containers. */
export const containerPowerStates = {
  start: ['stopped'],
  stop: ['running', 'paused'],
  restart: ['running', 'paused'],
  pause: ['running'],
  // A container that runs already is left as it is.
  resume: ['paused', 'running'],
} as const
