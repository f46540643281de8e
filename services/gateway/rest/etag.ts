import { hash } from 'node:crypto'
import { PreconditionFailedError } from '#shared/errors.ts'
import type { Answer } from './ask-service.ts'

/**
 * The version that `If-Match` demands; undefined when there is no such header, or it is `*`. Our ETags are the quoted
 * version of the resource, of answers that hold more with a hash of what they say: `"3"`, `"3-x9f…"`. A change depends on
 * the version alone; anything else cannot match and is answered like a version that is gone.
 * @throws PreconditionFailedError
 */
export function ifMatchOf(header: string | undefined): number | undefined {
  if (header === undefined || header.trim() === '*') return undefined
  const version = /^"(\d{1,15})(?:-[\w-]{27})?"$/.exec(header.trim())?.[1]
  if (version !== undefined) return Number(version)
  throw new PreconditionFailedError(`If-Match: ${header} is not one ETag of this API, such as "3"`, {
    details: { if_match: header },
  })
}

/** The `plan_id` that `If-Plan` names, with or without quotes. */
export function ifPlanOf(header: string | string[] | undefined): string | undefined {
  const text = Array.isArray(header) ? header.join(', ') : header
  return text?.trim().replace(/^"(.*)"$/, '$1')
}

/** True if `If-None-Match` names this ETag (weak comparison, RFC 9110 13.1.2). */
export function isNoneMatch(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false
  if (header.trim() === '*') return true
  const strong = (tag: string) => tag.trim().replace(/^W\//, '')
  return header.split(',').some((tag) => strong(tag) === strong(etag))
}

/** Adds a weak ETag made of the body: a list has no version. */
export const withTag = (answer: Answer): Answer =>
  answer.body === null || answer.headers['etag'] !== undefined
    ? answer
    : { ...answer, headers: { ...answer.headers, etag: `W/"${hash('sha1', answer.body, 'base64url')}"` } }
