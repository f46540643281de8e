import { AppError, UnavailableError } from '#shared/errors.ts'
import { findEntry, isActive } from '#shared/operation/entries.ts'
import { log } from '#shared/runtime/log.ts'

/**
 * Starts an operation once over all replicas.
 * @param what names it in the log
 * @returns its state: it goes on, has ended, or was refused
 * @throws UnavailableError of `start`
 */
export async function once(
  operationId: string,
  what: string,
  start: () => Promise<unknown>,
): Promise<'active' | 'ended' | 'refused'> {
  const known = await findEntry(operationId)
  if (known) return isActive(known) ? 'active' : 'ended'
  try {
    await start()
    return 'active'
  } catch (error) {
    if (!(error instanceof AppError) || error instanceof UnavailableError) throw error
    log('backups').warn({ err: error, operation: operationId }, `${what} was refused`)
    return 'refused'
  }
}
