import { readSession, session } from '../api/session.ts'
import { invalidateAll } from '../live/cache.ts'
import { readCollectionsAgain } from '../live/collection.ts'
import { readOperations } from '../live/operations.ts'
import { isOffline, listen, openStream } from '../live/stream.ts'

const rightsMs = 30_000

/** Reads the rights again: a right that was given or taken changes menus, buttons and lists. */
async function readRights(): Promise<void> {
  const rights = () => ('session' in session.value ? JSON.stringify(session.value.session.rights) : '')
  const before = rights()
  if (document.visibilityState === 'hidden' || isOffline.value) return
  await readSession()
  if (rights() === before) return
  invalidateAll()
  readCollectionsAgain()
}

// The gateway sends it to a user whose rights have changed, too.
listen({ event: () => undefined, resync: () => void readRights() })

/** Keeps the page fresh while a user is signed in. @returns a function that ends it */
export function keepFresh(): () => void {
  openStream()
  invalidateAll()
  void readOperations()
  const timer = setInterval(() => void readRights(), rightsMs)
  return () => clearInterval(timer)
}
