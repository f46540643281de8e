/** Keeps the fields that `fields=` asks for, of a record or of each item of a page. `id` is always among them. */
export function picked(result: unknown, fields: unknown): unknown {
  if (typeof fields !== 'string' || typeof result !== 'object' || result === null) return result
  const wanted = new Set(['id', ...fields.split(',').map((field) => field.trim())])
  const pick = (record: object) => Object.fromEntries(Object.entries(record).filter(([key]) => wanted.has(key)))
  return 'data' in result && Array.isArray(result.data) ? { ...result, data: result.data.map(pick) } : pick(result)
}
