import { log } from '#shared/runtime/log.ts'
import type { Service } from '#shared/service/start.ts'
import { authActions } from './auth.ts'
import { sweepAttempts } from './sign-in/brute-force.ts'
import { sweepDevices } from './sign-in/device.ts'
import { prepareFirstStart } from './sign-in/first-start.ts'
import { prepareForNobody } from './sign-in/passwords.ts'
import { groupActions } from './accounts/groups.ts'
import { permissionActions } from './grants/permissions.ts'
import { sweepReservations } from './resource-pools/account.ts'
import { poolActions } from './resource-pools/actions.ts'
import { sweepRights } from './grants/rights.ts'
import { roleActions } from './grants/roles.ts'
import { sweepSessions } from './credentials/sessions.ts'
import { signingKey, sweepKeys } from './credentials/signing-keys.ts'
import { sweepSignInRates } from './sign-in/sign-in-rate.ts'
import { sweepTickets } from './credentials/tickets.ts'
import { userActions } from './accounts/users.ts'

const sweepEveryMs = 15_000

async function sweep(): Promise<void> {
  await sweepSessions()
  await sweepKeys()
  await sweepAttempts()
  await sweepRights()
  await sweepTickets()
  await sweepDevices()
  await sweepReservations()
  await sweepSignInRates()
}

/** The auth service: identities, credentials, roles, grants, groups and resource pools. */
export const authService: Service = {
  name: 'auth',
  serves: [authActions, userActions, roleActions, permissionActions, groupActions, poolActions],
  prepare: async () => {
    await prepareFirstStart()
    await Promise.all([prepareForNobody(), signingKey()])
  },
  start: async () => {
    const timer = setInterval(() => {
      sweep().catch((error: Error) => log('auth').warn({ err: error }, 'expired records could not be swept'))
    }, sweepEveryMs)
    return () => clearInterval(timer)
  },
}
