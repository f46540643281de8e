import type { Recipient } from '#shared/contracts/storage/backup-keys.ts'
import { mostRecipients } from '#shared/contracts/storage/backup-keys.ts'
import { alreadyExists, ConflictError, notFound, type Violation } from '#shared/errors.ts'
import { mistakeOf } from './key-file.ts'

type Given = Pick<Recipient, 'name' | 'recipient'>

/** Violations of recipients that are given together: mistyped ones, and those that are given twice. */
export async function violationsOf(given: readonly Given[], field: (index: number) => string): Promise<Violation[]> {
  const violations: Violation[] = []
  for (const [index, { name, recipient }] of given.entries()) {
    const mistake = await mistakeOf(recipient)
    if (mistake) violations.push({ field: `${field(index)}recipient`, code: 'invalid', message: mistake })
    const before = given.slice(0, index)
    if (before.some((other) => other.name === name))
      violations.push({ field: `${field(index)}name`, code: 'taken', message: 'is given twice' })
    if (before.some((other) => other.recipient === recipient))
      violations.push({ field: `${field(index)}recipient`, code: 'taken', message: 'is given twice' })
  }
  return violations
}

/** Recipients with one more. @throws ConflictError when its name or itself is there, or there are too many */
export function withRecipient(known: readonly Recipient[], added: Recipient): Recipient[] {
  if (known.some(({ name }) => name === added.name)) throw alreadyExists(added.name, { field: 'name' })
  const same = known.find(({ recipient }) => recipient === added.recipient)
  if (same) throw new ConflictError(`The recipient is there already, with the name '${same.name}'`)
  if (known.length >= mostRecipients) throw new ConflictError(`A backup store has at most ${mostRecipients} recipients`)
  return [...known, added]
}

/** Recipients without one. @throws NotFoundError, ConflictError for the last one */
export function withoutRecipient(known: readonly Recipient[], name: string): Recipient[] {
  const left = known.filter((each) => each.name !== name)
  if (left.length === known.length) throw notFound('Recipient', name)
  if (left.length === 0)
    throw new ConflictError(
      `Recipient '${name}' is the only one besides Horcrux: without it nobody could open the backups if this Horcrux were lost. Add another one first`,
    )
  return left
}
