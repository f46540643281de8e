/**
 * A list's `filter=` in the words of the store, where a field lies elsewhere than callers see it.
 * @param places the stored field of each that differs: `{ resource: 'resources' }`
 */
export const placed = (filter: string | undefined, places: Readonly<Record<string, string>>): string | undefined =>
  filter?.replaceAll(/(^|,)(\w+):/g, (_, comma: string, field: string) => `${comma}${places[field] ?? field}:`)
