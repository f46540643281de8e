import { contracts } from '#shared/contracts/index.ts'
import { type Contract, isChange, isOperation } from '#shared/contract/contract.ts'
import { accessChanges } from './access-changes.ts'
import type { Prepare } from './plain-change.ts'
import { resourceChanges } from './resource-changes.ts'

/** At least one for each change that is no operation; a test demands it. */
export const plainChanges: Record<string, Prepare> = { ...accessChanges, ...resourceChanges }

/** Changes that are not in the table, and why. */
export const withoutLaterChange: Record<string, string> = {
  'auth.setup': 'possible once, before there is a user',
  'auth.login': 'gives out a secret that ends by itself',
  'auth.refresh': 'gives out a secret that ends by itself',
  'auth.deviceBegin': 'gives out a secret that ends by itself',
  'auth.deviceConfirm': 'decides once: a repetition is refused',
  'auth.deviceToken': 'begins a session: a repetition is refused, and the device begins again',
  'auth.wsTicket': 'gives out a secret that ends by itself',
  'auth.logout': 'ends a session, whose id is never used again',
  'auth.endSession': 'ends a session, whose id is never used again',
  'auth.password': 'refuses itself when it is late: it names the password before it',
  'auth.totp': 'its secret counts only after totpConfirm with a code of it',
  'auth.totpConfirm': 'its code is valid once',
  'auth.totpRemove': 'its code is valid once',
  'auth.rotateKeys': 'adds a key, and no later change takes it away',
  'audit.erase': 'cannot be undone by a later change',
  'nodes.pinHostKey': 'refuses itself when it is late: the node must show this key',
  'consoles.open': 'gives out a secret that ends by itself',
  'consoles.write': 'writes to a running guest',
  'consoles.deleteRecording': 'deletes a recording, whose id is never used again',
  'guests.freeze': 'ends by itself',
  'guests.thaw': 'the guest thaws by itself',
  'guests.monitor': 'reads from a running guest',
  'clone-jobs.cancel': 'the cancelling of an operation, which the tests of operations have',
  'clone-jobs.delete': 'deletes an ended operation, whose id is never used again',
  'ha.confirmOff': 'refused while the node answers, and ends when it answers',
  'operations.cancel': 'the cancelling of an operation, which the tests of operations have',
}

const isCovered = ({ name }: Contract) =>
  [...Object.keys(plainChanges), ...Object.keys(withoutLaterChange)].some((change) => change.startsWith(`${name}.`))

/** The names of all changes with a route that are no operations, of the contracts that the table is of. */
export const allPlainChanges = (): string[] =>
  contracts.filter(isCovered).flatMap(({ name, actions }) =>
    Object.entries(actions)
      .filter(([, action]) => isChange(action) && action.rest !== undefined && !isOperation(action))
      .map(([key]) => `${name}.${key}`),
  )
