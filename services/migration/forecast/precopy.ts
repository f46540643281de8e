/** The moves of memory that QEMU makes while a guest runs, as arithmetic. MiB, seconds. */

export type Precopy = {
  /** Memory that is sent first. */
  memoryMib: number
  /** Memory that changes within one second. */
  dirtyMibPerSecond: number
  /** Memory that changes at most, however long it is waited. */
  workingSetMib: number
  bandwidthMibPerSecond: number
  maxPauseMs: number
  /** QEMU slows the guest down until its memory changes slowly enough. */
  autoConverge: boolean
}

export type Course = {
  sentMib: number
  seconds: number
  iterations: number
  /** Left to send during the pause. */
  residualMib: number
  converges: boolean
}

const mostIterations = 50
/** The move is given up when its rest has not become smaller than this part of the best one for so many iterations. */
const progressPart = 0.9
const patience = 6
/** QEMU's cpu-throttle-initial, -increment and the highest throttle. Percent. */
const throttleBy = { first: 20, step: 10, most: 99 }

/** The throttle of an iteration, at which QEMU has seen so many without progress. */
const throttleAt = (stalls: number) =>
  stalls === 0 ? 0 : Math.min(throttleBy.most, throttleBy.first + (stalls - 1) * throttleBy.step)

/**
 * Goes through the iterations of pre-copy: each sends the memory that changed while the one before was sent, until the rest
 * fits into the pause.
 */
export function courseOf(of: Precopy): Course {
  const { memoryMib, dirtyMibPerSecond, workingSetMib, bandwidthMibPerSecond: bandwidth, maxPauseMs } = of
  const fits = (bandwidth * maxPauseMs) / 1000
  const course: Course = { sentMib: 0, seconds: 0, iterations: 0, residualMib: memoryMib, converges: false }
  let [best, sinceBest, stalls] = [Infinity, 0, 0]
  while (course.iterations < mostIterations) {
    if (course.iterations > 0 && course.residualMib <= fits) return { ...course, converges: true }
    const took = course.residualMib / bandwidth
    course.sentMib += course.residualMib
    course.seconds += took
    course.iterations += 1
    const rate = dirtyMibPerSecond * (1 - throttleAt(stalls) / 100)
    // A guest that is slowed down changes its working set more slowly, too.
    const rest = Math.min(workingSetMib, rate * took)
    if (of.autoConverge && rate > bandwidth / 2) stalls += 1
    course.residualMib = rest
    sinceBest = rest < best * progressPart ? 0 : sinceBest + 1
    best = Math.min(best, rest)
    if (sinceBest > patience && (!of.autoConverge || throttleAt(stalls) >= throttleBy.most)) return course
  }
  return { ...course, converges: course.residualMib <= fits }
}
