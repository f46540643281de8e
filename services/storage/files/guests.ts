import { UnavailableError } from '#shared/errors.ts'
import type { Session } from './readable.ts'
import { openSession } from './session.ts'

/** Guests of this process that run at a time, for lists and downloads. Each has 256 MiB. */
const mostGuests = 4
/** A guest from which nothing is listed for so long ends. */
const idleMs = 120_000

/** A guest for lists, which all callers share. */
type Shared = { session: Promise<Session>; users: number; touchedAt: number }

const shared = new Map<string, Shared>()
const downloads = new Set<symbol>()
const count = () => shared.size + downloads.size

async function end(backup: string, one: Shared): Promise<void> {
  if (shared.get(backup) === one) shared.delete(backup)
  await one.session.then(
    (session) => session.close(),
    () => undefined,
  )
}

/** Ends the guest for lists that was not used for longest. @throws UnavailableError when all are in use */
async function makeRoom(): Promise<void> {
  if (count() < mostGuests) return
  const unused = [...shared]
    .filter(([, { users }]) => users === 0)
    .toSorted(([, a], [, b]) => a.touchedAt - b.touchedAt)
  const [oldest] = unused
  if (!oldest)
    throw new UnavailableError(`${mostGuests} guests read files of backups, which is the most; try again later`)
  await end(...oldest)
  return makeRoom()
}

/** Works with the guest for lists of a backup, which is started if there is none. It goes on until nobody uses it. */
export async function withGuest<T>(backup: string, work: (session: Session) => Promise<T>): Promise<T> {
  if (!shared.has(backup)) await makeRoom()
  const one = shared.get(backup) ?? { session: openSession(backup), users: 0, touchedAt: 0 }
  shared.set(backup, one)
  one.users++
  try {
    return await work(await one.session)
  } catch (error) {
    // One that did not start, or does not answer, is replaced at the next request.
    if (error instanceof UnavailableError || !(await isOpen(one))) await end(backup, one)
    throw error
  } finally {
    one.users--
    one.touchedAt = performance.now()
  }
}

const isOpen = ({ session }: Shared): Promise<boolean> =>
  session.then(
    () => true,
    () => false,
  )

/** Starts a guest of its own for a download. Its `close` must be called. */
export async function ownGuest(backup: string): Promise<Session> {
  const place = Symbol(backup)
  await makeRoom()
  downloads.add(place)
  try {
    const session = await openSession(backup)
    return {
      ...session,
      close: async () => {
        downloads.delete(place)
        await session.close()
      },
    }
  } catch (error) {
    downloads.delete(place)
    throw error
  }
}

/** Ends guests that nobody uses. */
export function endIdleGuests(): void {
  for (const [backup, one] of shared)
    if (one.users === 0 && performance.now() - one.touchedAt > idleMs) void end(backup, one)
}

export const endAllGuests = async (): Promise<void> =>
  void (await Promise.all([...shared].map(([backup, one]) => end(backup, one))))
