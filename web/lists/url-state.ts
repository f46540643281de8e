import { useLocation } from 'preact-iso'

/** A value of the address's query: typing replaces the entry of the history, choosing adds one. */
export function useUrlState(key: string): [string, (value: string, how?: 'push' | 'replace') => void] {
  const { query, route, path } = useLocation()
  const set = (value: string, how: 'push' | 'replace' = 'replace') => {
    const next = new URLSearchParams(location.search)
    if (value) next.set(key, value)
    else next.delete(key)
    const text = next.toString()
    route(`${path}${text && `?${text}`}`, how === 'replace')
  }
  return [query[key] ?? '', set]
}
