import { log } from '#shared/log.ts'
import type { Service } from '#shared/start.ts'
import { authActions } from './auth.ts'
import { sweepAttempts } from './brute-force.ts'
import { prepareFirstStart } from './first-start.ts'
import { prepareForNobody } from './passwords.ts'
import { groupActions } from './groups.ts'
import { permissionActions } from './permissions.ts'
import { sweepReservations } from './pools/account.ts'
import { poolActions } from './pools/actions.ts'
import { sweepRights } from './rights.ts'
import { roleActions } from './roles.ts'
import { sweepSessions } from './sessions.ts'
import { signingKey, sweepKeys } from './signing-keys.ts'
import { sweepTries } from './tries.ts'
import { sweepTickets } from './tickets.ts'
import { userActions } from './users.ts'

const sweepEveryMs = 15_000

async function sweep(): Promise<void> {
  await sweepSessions()
  await sweepKeys()
  await sweepAttempts()
  await sweepRights()
  await sweepTickets()
  await sweepReservations()
  await sweepTries()
}

/** Who somebody is, and what they may do. */
export const authService: Service = {
  name: 'auth',
  serves: [authActions, userActions, roleActions, permissionActions, groupActions, poolActions],
  prepare: async () => {
    await prepareFirstStart()
    await Promise.all([prepareForNobody(), signingKey()])
  },
  start: async () => {
    const timer = setInterval(() => {
      sweep().catch((error: Error) => log('auth').warn({ err: error }, 'what has expired could not be swept'))
    }, sweepEveryMs)
    return () => clearInterval(timer)
  },
}
