import { parse, textOf, withGlobals } from '../arguments/parse.ts'
import { exitCodes, usageError } from '../errors.ts'
import { ask } from '../http/request.ts'
import { rendered, write } from '../output/print.ts'
import { shown } from '../output/width.ts'
import { outputOf, targetFrom } from '../actions/options.ts'

/** `horcrux whoami`. */
export async function whoami(words: string[]): Promise<number> {
  const parsed = parse(words, withGlobals({}), 'horcrux whoami')
  const target = targetFrom(parsed)
  const { body } = await ask<{ user: { username: string }; rights: unknown[] }>(target, { path: '/auth/session' })
  const output = outputOf(parsed, { noun: 'auth', key: 'id' })
  if (output.format !== 'table') await write(await rendered(body, output))
  else
    await write(
      await rendered(
        { user: body.user.username, server: target.url, context: target.context ?? null, rights: body.rights },
        output,
      ),
    )
  return exitCodes.done
}

type Explanation = { allowed: boolean; because: string; [detail: string]: unknown }

/** `horcrux can-i PRIVILEGE PATH`. @returns 0 if it is held, else 5 */
export async function canI(words: string[]): Promise<number> {
  const parsed = parse(
    words,
    withGlobals({ user: { short: 'u', value: 'USER', does: 'Ask about another user' } }),
    'horcrux can-i',
  )
  const [privilege, path, ...more] = parsed.positionals
  if (privilege === undefined || path === undefined || more.length > 0)
    throw usageError('name a privilege and a path', 'horcrux can-i VmPowerMgmt /api/vms/web-1')
  const user = textOf(parsed, 'user')
  const query = new URLSearchParams({
    privilege,
    path: path.startsWith('/') ? path : `/api/${path}`,
    ...(user !== undefined && { user }),
  })
  const { body } = await ask<Explanation>(targetFrom(parsed), { path: `/permissions/explain?${query}` })
  const output = outputOf(parsed, { noun: 'permissions', key: 'id' })
  if (output.format === 'table') await write(`${body.allowed ? 'yes' : 'no'}: ${shown(body.because)}\n`)
  else await write(await rendered(body, output))
  return body.allowed ? exitCodes.done : exitCodes.forbidden
}
