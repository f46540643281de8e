import type { TestHorcrux } from '../product/horcrux.ts'

/** The way of a scenario to the services. */
export type Calling = Pick<TestHorcrux, 'call'>

/** An operation of one kind: the state before it, and its parameters. */
export type Scenario = {
  before?: (horcrux: Calling) => Promise<unknown>
  params: Record<string, unknown>
  /** Distinguishes scenarios of one kind. */
  kind?: string
}
