import { requestContext } from '#shared/runtime/request-context.ts'
import { PreconditionFailedError } from '#shared/errors.ts'

/** Checks the call's `If-Match` before a change; `what` names the record in the message. @throws PreconditionFailedError when the call's `If-Match` names another version */
export function requireVersion(what: string, version: number): void {
  const ifMatch = requestContext()?.ifMatch
  if (ifMatch === undefined || ifMatch === version) return
  throw new PreconditionFailedError(`${what} is at version ${version}, not ${ifMatch}`, { details: { version } })
}
