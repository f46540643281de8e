import * as commands from '#shared/db/commands.ts'
import type { Stored } from '#shared/db/model.ts'
import { requireCurrent } from '#shared/runtime/request-context.ts'

/**
 * The writing commands of the store for services, where `collection()` does not fit: code that is too late to act is refused.
 * The engine of operations uses the commands themselves, because the epoch protects its writes.
 * @throws LateCallError or LostLeaseError before the command
 */
const guarded =
  <A extends unknown[], R>(command: (...args: A) => Promise<R>) =>
  async (...args: A): Promise<R> => {
    await requireCurrent()
    return command(...args)
  }

export const insertIfNew = guarded(commands.insertIfNew)
export const update = guarded(commands.update)
export const removeOne = guarded(commands.removeOne)
export const removeAll = guarded(commands.removeAll)
export const findAndUpdate = <T = Stored>(...args: Parameters<typeof commands.findAndUpdate<T>>) =>
  guarded(commands.findAndUpdate<T>)(...args)
export const findAndRemove = <T = Stored>(...args: Parameters<typeof commands.findAndRemove<T>>) =>
  guarded(commands.findAndRemove<T>)(...args)
