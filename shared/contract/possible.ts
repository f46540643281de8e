/** Conditions of an action on the record of its resource: each field has one of these values. */
export type Possible = Readonly<Record<string, readonly (string | boolean | null)[]>>

export type Obstacle = { field: string; value: unknown; allowed: Possible[string] }

/** The first field that does not let an action be done now. */
export function obstacleTo(possible: Possible | undefined, record: Record<string, unknown>): Obstacle | undefined {
  for (const [field, allowed] of Object.entries(possible ?? {})) {
    const value = record[field]
    if (!allowed.some((one) => one === value)) return { field, value, allowed }
  }
  return undefined
}

/** `status is running, and must be stopped or paused` */
export const obstacleText = ({ field, value, allowed }: Obstacle): string =>
  `${field} is ${String(value)}, and must be ${allowed.map(String).join(' or ')}`
