export type Right = { path: string; privileges: readonly string[] }

/** True if a grant on `path` covers the resource: `/` all, `/x/*` one level, `/x/**` any depth, else exactly. */
export function covers(path: string, resource: string): boolean {
  if (path === '/') return true
  const parts = path.split('/').filter(Boolean)
  const wanted = resource.split('/').filter(Boolean)
  const last = parts.at(-1)
  const fixed = last === '*' || last === '**' ? parts.slice(0, -1) : parts
  if (!fixed.every((part, index) => part === wanted[index])) return false
  if (last === '**') return true
  return last === '*' ? wanted.length - fixed.length <= 1 : wanted.length === fixed.length
}

export function allows(rights: readonly Right[], privilege: string, path: string): boolean {
  return rights.some((right) => right.privileges.includes(privilege) && covers(right.path, path))
}
