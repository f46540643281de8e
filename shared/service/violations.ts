import { AppError, NotFoundError, UnavailableError, ValidationError, type Violation } from '#shared/errors.ts'

/** @throws ValidationError with all violations, if there are any */
export function throwAll(violations: Violation[]): void {
  if (violations.length > 0) throw new ValidationError(violations)
}

/** Runs a check. Errors of the caller become violations of the field; all others are thrown. */
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
