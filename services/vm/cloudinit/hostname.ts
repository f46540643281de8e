import type { Violation } from '#shared/errors.ts'

const label = /^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/

/** A guest is called by its host name where it is given one, else by its name, if that can be one. */
export function hostnameOf(
  name: string,
  given: string | undefined,
  { field, violations }: { field: string; violations: Violation[] },
): string {
  const hostname = given ?? name
  if (!label.test(hostname))
    violations.push({ field, code: 'required', message: `must be given: the name '${name}' is no host name` })
  return hostname
}
