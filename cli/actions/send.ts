import { CommandError } from '../errors.ts'
import { ApiFailure } from '../http/failures.ts'
import { type Answer, ask } from '../http/request.ts'
import type { Target } from '../http/target.ts'
import { flagOf, pathParams, positionalParams } from '../manifest/manifest.ts'
import { argumentWord } from '../arguments/action-flags.ts'
import type { Action } from '../manifest/types.ts'
import { requestOf, type Values } from './build-request.ts'
import { nameIds } from './names-in-body.ts'
import { hasNames, idOf, isMissing, isNoId, listFor } from './find-by-name.ts'

type Extra = {
  headers?: Record<string, string>
  timeoutMs?: number
  signal?: AbortSignal
  /** The values come from a file: violations name fields, not flags. */
  isFile?: boolean
}

/**
 * Sends an action. Ids in the path may be names: text that can be no id is looked up first, other text only when the
 * server has no such id, so that ids cost no second request.
 * @throws CommandError; violations name the flags
 */
export async function send<T>(
  target: Target,
  action: Action,
  values: Values,
  { isFile = false, ...extra }: Extra = {},
): Promise<Answer<T>> {
  const resolved = { ...values }
  const names = pathParams(action)
    .filter(({ name }) => name === 'id' || name.endsWith('_id') || listFor(action, name) !== undefined)
    .flatMap(({ name }) => {
      const list = listFor(action, name)
      return list && hasNames(list) ? [{ name, list, text: String(values[name]) }] : []
    })
  for (const { name, list, text } of names) if (isNoId(text)) resolved[name] = await idOf(target, list, text, resolved)
  for (;;) {
    try {
      return await ask<T>(target, { ...requestOf(action, resolved), ...extra })
    } catch (error) {
      const missing = names.find(({ name, text }) => resolved[name] === text && isMissing(error, text))
      if (missing) resolved[missing.name] = await idOf(target, missing.list, missing.text, resolved)
      else if (!(await nameIds(target, resolved, error))) throw withFlags(error, action, isFile)
    }
  }
}

/** Violations with the names that the command line has: `--memory`, or the argument. */
export function withFlags(error: unknown, action: Action, isFile = false): unknown {
  if (!(error instanceof ApiFailure) || !error.answer?.violations?.length) return error
  const positionals = positionalParams(action)
  const lines = error.answer.violations.map(({ field, message }) => {
    const [name = '', ...inner] = field.split('.')
    const param = action.params.find((one) => one.name === name)
    if (isFile) return `${field} ${message}`
    const place = !param
      ? field
      : positionals.includes(param)
        ? argumentWord(action, param).replaceAll(/[[\]]/g, '')
        : `--${flagOf(param)}`
    return `${place}${inner.length > 0 ? ` (${inner.join('.')})` : ''} ${message}`
  })
  return new CommandError(lines.join('\n'), {
    code: error.code,
    help: [`horcrux ${action.noun} ${action.verb} --help`],
    requestId: error.requestId,
    body: error.body,
  })
}

const pageSize = 500

/** All items of a list, page by page; `limit` of the values ends it sooner. */
export async function* itemsOf(
  target: Target,
  action: Action,
  values: Values,
): AsyncGenerator<{ items: unknown[]; body: unknown }> {
  const { limit, ...query } = values
  let left = typeof limit === 'number' ? limit : Infinity
  let cursor: string | null = null
  do {
    const page: Values = { ...query, limit: Math.min(left, pageSize), ...(cursor !== null && { cursor }) }
    const { body } = await send<{ data: unknown[]; next_cursor: string | null }>(target, action, page)
    left -= body.data.length
    cursor = body.next_cursor
    if (cursor !== null) delete query['offset']
    yield { items: body.data, body }
  } while (cursor !== null && left > 0)
}
