/** A place in a step of an operation, for an observer. `recorded`: its end is in the journal. */
export type StepPlace = {
  operation: string
  kind: string
  step: string
  when: 'before' | 'during' | 'after' | 'recorded' | 'undo'
}

/**
 * Called at each place of each step, and waited for. An observer that throws fails the step there. Given at the start of
 * the engine; tests use it to fail, kill or stop a replica at a place.
 */
export type StepObserver = (place: StepPlace) => Promise<void> | void | undefined
