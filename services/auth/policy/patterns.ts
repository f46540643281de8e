/**
 * Path patterns of grants as sets of paths: `/` (and `/**`) everything; `/a/*` the collection and its direct children;
 * `/a/**` the collection and everything below; any other path only itself. shared/access/access.ts has the compiled
 * form for many checks.
 */
export type Pattern = { parts: string[]; reach: 'exact' | 'one' | 'any' }

export function parsePattern(path: string): Pattern {
  const parts = path
    .replace(/^\/api\/v1(?=\/|$)/, '/api')
    .split('/')
    .filter(Boolean)
  if (path === '/') return { parts: [], reach: 'any' }
  if (parts.at(-1) === '**') return { parts: parts.slice(0, -1), reach: 'any' }
  if (parts.at(-1) === '*') return { parts: parts.slice(0, -1), reach: 'one' }
  return { parts, reach: 'exact' }
}

const suffixes = { exact: '', one: '/*', any: '/**' }

/** Normal form of a pattern: `/api/v1/vms/` and `/api/vms` are the same. */
export function formatPattern({ parts, reach }: Pattern): string {
  const path = parts.map((part) => `/${part}`).join('')
  return path === '' && reach === 'any' ? '/' : `${path}${suffixes[reach]}` || '/'
}

export const canonicalPattern = (path: string) => formatPattern(parsePattern(path))

const beginsWith = (parts: string[], prefix: string[]) => prefix.every((part, i) => parts[i] === part)

/** Checks that a resource path is in the pattern. */
export function matches({ parts, reach }: Pattern, resource: string[]): boolean {
  if (!beginsWith(resource, parts)) return false
  const deeper = resource.length - parts.length
  return reach === 'any' || deeper === 0 || (reach === 'one' && deeper === 1)
}

/** Intersection of two patterns: one pattern, or null if they have no path in common. */
export function intersect(a: Pattern, b: Pattern): Pattern | null {
  if (a.parts.length > b.parts.length) return intersect(b, a)
  // `a` is the shorter pattern; the rest of `b` decides.
  if (!beginsWith(b.parts, a.parts)) return null
  const deeper = b.parts.length - a.parts.length
  if (a.reach === 'any') return b
  if (deeper === 0)
    return a.reach === 'exact' || b.reach === 'exact' ? { ...b, reach: 'exact' } : { ...b, reach: 'one' }
  return a.reach === 'one' && deeper === 1 ? { parts: b.parts, reach: 'exact' } : null
}

/** Checks that every path of `b` is in `a`. */
export function covers(a: Pattern, b: Pattern): boolean {
  if (!matches(a, b.parts)) return false
  if (a.reach === 'any' || b.reach === 'exact') return true
  return a.reach === 'one' && b.reach === 'one' && a.parts.length === b.parts.length
}
