import { actions } from 'virtual:actions'
import type { ActionName } from './contracts.ts'

/** The privilege and the path that an action needs with these parameters; undefined: no privilege. */
export function neededFor(
  name: ActionName,
  params: Record<string, unknown>,
): { privilege: string; path: string } | undefined {
  const [privilege, template] = (actions[name]?.[1] ?? '').split(' on ')
  if (!privilege || !template) return undefined
  const path = template.replace(/\/\{(\w+)\}/g, (_, key: string) => {
    const value = params[key]
    return typeof value === 'string' ? `/${encodeURIComponent(value)}` : ''
  })
  return { privilege, path }
}
