import { AppError, NotFoundError, UnavailableError, ValidationError, type Violation } from '#shared/errors.ts'

export function throwAll(violations: Violation[]): void {
  if (violations.length > 0) throw new ValidationError(violations)
}

/** Runs a check; what the caller got wrong becomes violations of the field, anything else is thrown. */
export async function checking<T>(
  field: string,
  violations: Violation[],
  check: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await check()
  } catch (error) {
    if (error instanceof UnavailableError || !(error instanceof AppError)) throw error
    if (error instanceof ValidationError) violations.push(...error.violations)
    else
      violations.push({ field, code: error instanceof NotFoundError ? 'not_found' : 'invalid', message: error.message })
    return undefined
  }
}
