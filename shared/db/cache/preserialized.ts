const bytesOf = new WeakMap<object, Buffer>()

/** An object with its JSON, so that the sender need not serialise it again. */
export function ready<T extends object>(value: T, json: Buffer): T {
  bytesOf.set(value, json)
  return value
}

/** The JSON of an answer, made unless it is known. */
export const jsonOf = (value: unknown): Buffer =>
  (typeof value === 'object' && value !== null ? bytesOf.get(value) : undefined) ??
  Buffer.from(JSON.stringify(value ?? null))
