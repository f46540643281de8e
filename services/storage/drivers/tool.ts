import { setTimeout as sleep } from 'node:timers/promises'
import { ConflictError } from '#shared/errors.ts'
import { CommandError } from '#shared/nodes/host/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'

/** Runs a program of a storage kind. @throws ConflictError with its words when it refuses */
export async function tool(host: Host, program: string, args: readonly string[]): Promise<string> {
  try {
    return (await host.runChecked(program, args)).stdout
  } catch (error) {
    throw error instanceof CommandError ? refused(error, host) : error
  }
}

export const refused = (error: CommandError, host: Host): ConflictError =>
  new ConflictError(`${error.program} on ${host.describe()}: ${error.stderr}`, { cause: error })

/** True for a refusal in these words. */
export const says = (error: unknown, words: RegExp): error is ConflictError =>
  error instanceof ConflictError && error.cause instanceof CommandError && words.test(error.cause.stderr)

/** As {@link tool}; null when it refuses in these words, such as for something that is not there. */
export const toolUnless = (host: Host, words: RegExp, program: string, args: readonly string[]) =>
  tool(host, program, args).catch((error: unknown) => {
    if (says(error, words)) return null
    throw error
  })

/**
 * Repeats a command that is refused because the device is in use: udev and other watchers open a device for a moment after
 * each change of it.
 */
export async function whileBusy<T>(work: () => Promise<T>): Promise<T> {
  for (let pauseMs = 100; ; pauseMs *= 2) {
    try {
      return await work()
    } catch (error) {
      if (pauseMs > 2000 || !says(error, /busy|in use/i)) throw error
      await sleep(pauseMs)
    }
  }
}
