/**
 * Tries of a change. A call that is repeated is sent again as a higher try, and the lower one may still lie in the socket
 * of a replica that is stopped. A try is therefore a short lease: for {@link freshMs} after it was sent its receiver may act;
 * from then on it must ask first. Its sender records the higher try before it repeats a call, or that the call is
 * revoked before it gives up, and repeats only later than a try is fresh.
 */
export type Try = {
  /** The same for all tries of one call. */
  call: string
  number: number
  /** Times by the sender's clock, in milliseconds since 1970. The clocks of the hosts differ by less than a second. */
  sentAt: number
  /** The sender waits no longer than this. */
  deadline: number
}

/** Shorter than the 3 s after which a silent process is given up (heartbeats, broker.ts). Milliseconds. */
export const freshMs = 2000

/** The number of a try that is higher than all: the call was given up. */
export const revoked = 2 ** 31 - 1

/** The record of tries, which lies above the bus: in the store. */
export type TryRecord = {
  raise: (call: string, number: number) => Promise<void>
  /** @returns the highest number that was recorded, or 0 */
  highest: (call: string) => Promise<number>
}

let record: TryRecord | undefined

/** Gives the calls of this process their record of tries. */
export const useTryRecord = (given: TryRecord): void => void (record = given)

/** Records a try that is about to be sent, or that a call is revoked: lower tries have no effect from then on. */
export const raiseTry = async (call: string, number: number): Promise<void> => record?.raise(call, number)

export const highestTry = async (call: string): Promise<number> => (await record?.highest(call)) ?? 0
