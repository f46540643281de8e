import { compileRights } from '#shared/access/access.ts'
import { whatIf } from '../services/auth/what-if/what-if.ts'
import { manyUsers } from '../test/lab/people/many-users.ts'
import { timed } from './demand.ts'
import type { Row } from './figures.ts'

const grants = 1000
const checks = 200_000

/** One permission check of a user who has 1,000 grants, granted or not; and what-if over 1,000 users and 10,000 resources. */
export async function benchRights(): Promise<Row[]> {
  const paths = Array.from({ length: grants }, (_, number) => `/api/vms/vm-${number}`)
  const rights = compileRights(paths.map((path) => ({ path, privileges: ['VmAudit', 'VmPowerMgmt'] })))
  const asked = paths.flatMap((path, number) => [path, `/api/vms/other-${number}/snapshots`])
  let allowed = 0
  const round = () => {
    for (let index = 0; index < checks; index++) if (rights.allows('VmAudit', asked[index % asked.length]!)) allowed++
  }
  round()
  const begin = performance.now()
  round()
  const microseconds = ((performance.now() - begin) * 1000) / checks
  if (allowed !== checks) throw new Error(`Half of the checks were to be allowed, ${allowed} of ${2 * checks} were`)
  const { before, after, question } = manyUsers()
  const whatIfMs = await timed(async () => whatIf(before, after, question))
  return [
    { what: 'permission check with 1,000 grants', value: microseconds, unit: 'µs', below: 2 },
    { what: 'what-if over 1,000 users and 10,000 resources', value: whatIfMs, unit: 'ms', below: 2000 },
  ]
}
