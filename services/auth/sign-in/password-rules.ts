import type { Violation } from '#shared/errors.ts'
import { ValidationError } from '#shared/errors.ts'
import { isCommonPassword } from './common-passwords.ts'

/** User names that look like a part of the system. */
const reservedNames = new Set(
  (
    'root system nobody horcrux daemon bin sys sync mail www-data service services anonymous guest everyone anybody ' +
    'operator me self user users group groups new summary tree ticket null undefined none all api auth test'
  ).split(' '),
)

/** Checks name and password of a new user. @throws ValidationError with all violations, also `others` */
export function checkNewUser(username: string, password: string, others: Violation[] = []): void {
  const violations = [...nameViolations(username), ...passwordViolations(password, username), ...others]
  if (violations.length > 0) throw new ValidationError(violations)
}

/** Checks a password against the rules. @throws ValidationError */
export function checkPassword(password: string, username: string, field = 'password'): void {
  const violations = passwordViolations(password, username, field)
  if (violations.length > 0) throw new ValidationError(violations)
}

function nameViolations(username: string): Violation[] {
  const isReserved = reservedNames.has(username) || /^[._-]|[._-]$|\.\./.test(username)
  if (!isReserved) return []
  return [{ field: 'username', code: 'reserved', message: `'${username}' is a reserved name; choose another` }]
}

/** Violations of a password. Its length counts characters, not bytes. */
export function passwordViolations(password: string, username: string, field = 'password'): Violation[] {
  const violation = (code: string, message: string) => ({ field, code, message })
  const length = [...password].length
  const isMixed = /\p{Lu}/u.test(password) && /\p{Ll}/u.test(password) && /\d/.test(password)
  if (length > 128) return [violation('maxLength', 'must have at most 128 characters')]
  if (length < 8 || (length < 15 && !isMixed))
    return [
      violation(
        'weak',
        'must have at least 8 characters with upper case, lower case and a digit, or at least 15 of any kind',
      ),
    ]
  if (new Set(password).size < 4) return [violation('weak', 'must not repeat the same few characters')]
  if (password.toLowerCase().includes(username.toLowerCase()))
    return [violation('own_name', "must not contain the user's name")]
  if (isCommonPassword(password))
    return [violation('common', 'is among the passwords that are tried first; choose another')]
  return []
}
