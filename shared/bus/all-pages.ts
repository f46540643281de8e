/** The part of a list that is asked for. */
type PageRequest = { limit: number; cursor?: string }

/** Reads a list to its end. @param list asks for one page of it */
export async function allPages<T>(
  list: (page: PageRequest) => Promise<{ data: T[]; next_cursor: string | null }>,
): Promise<T[]> {
  const found: T[] = []
  for (let page: PageRequest = { limit: 1000 }; ;) {
    const { data, next_cursor } = await list(page)
    found.push(...data)
    if (next_cursor === null) return found
    page = { limit: 1000, cursor: next_cursor }
  }
}

/** Reads an answer between services to its end. @param ask asks for the part after a given record */
export async function allParts<T>(
  ask: (part: { after?: string }) => Promise<{ data: readonly T[]; next: string | null }>,
): Promise<T[]> {
  const found: T[] = []
  for (let part: { after?: string } = {}; ;) {
    const { data, next } = await ask(part)
    found.push(...data)
    if (next === null) return found
    part = { after: next }
  }
}
