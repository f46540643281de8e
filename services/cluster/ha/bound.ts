import { call } from '#shared/bus/call.ts'
import { fencing } from '#shared/contracts/vm/fencing.ts'
import { AppError } from '#shared/errors.ts'

/** Things of a VM that lie on its node alone, in words. A VM that cannot be asked for is not started. */
export async function boundOf(id: string): Promise<string[]> {
  try {
    const { violations } = await call(fencing, 'check', { id }, { isQuestion: true })
    return violations.map(({ message }) => message)
  } catch (error) {
    if (error instanceof AppError) return [error.message]
    throw error
  }
}
