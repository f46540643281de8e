/** Unit of a number on the wire, as the contracts have it. Flags take `4GiB` or `5m` and convert it. */
export type Unit =
  | 'bytes'
  | 'MiB'
  | 'bytes/s'
  | 'MiB/s'
  | 'Mbit/s'
  | 'nanoseconds'
  | 'milliseconds'
  | 'seconds'
  | 'hours'
  | 'days'
  | 'percent'

/** The form of one value: a parameter, or a field of one. */
export type Form = {
  type: 'string' | 'integer' | 'number' | 'boolean' | 'object' | 'array' | 'any'
  enum?: string[]
  unit?: Unit
  nullable?: true
  /** Of an object with named fields. */
  fields?: Record<string, Form>
  /** Of an array. */
  items?: Form
  default?: unknown
  does?: string
  /** A text that the field can have. */
  example?: string
  /** Never an argument of the command line: prompt, file or standard input. */
  secret?: true
}

export type Param = Form & {
  name: string
  required?: true
  /** In the path of the route: a positional argument. */
  path?: true
}

/** One routed action of the contracts, as a command. */
export type Action = {
  noun: string
  verb: string
  does: string
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** `/vms/{id}/start`, below /api. */
  path: string
  params: Param[]
  operation?: true
  /** Its result has a secret that is shown only once, such as a new API key. */
  reveals?: true
  /** It changes state. */
  change?: true
  /** `page` has a cursor; `data` is `{data: […]}` without one. */
  result: 'page' | 'data' | 'record' | 'none'
  /** Columns of its table, in their order; `a.b` is a field of a field. */
  columns?: string[]
  /** Fields of the record, or of one item of a list; fields of these as far as they have a unit. */
  fields?: Record<string, Form>
}

export type Manifest = readonly Action[]
