import { NotFoundError } from '#shared/errors.ts'

/** The result of work on a thing of the engine; null when the thing is gone. */
export async function unlessGone<T>(work: Promise<T>): Promise<T | null> {
  try {
    return await work
  } catch (error) {
    if (error instanceof NotFoundError) return null
    throw error
  }
}
