/** The fields that have a value, neither null nor undefined: a request has no field for nothing. */
export const fieldsWithValue = <T extends object>(fields: T) =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null && value !== undefined))
