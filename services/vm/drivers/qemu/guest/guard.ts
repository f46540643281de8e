import { dirname } from 'node:path'
import { guardDeadlineMs } from '#shared/contracts/vm/fencing.ts'
import { ConflictError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { reach } from '#shared/nodes/nodes.ts'
import type { Guest } from '../../guest.ts'
import type { Guards } from '../../parts.ts'
import { guardScript } from './guard-script.ts'

/** Age of the last read with which a guard counts as alive. Seconds. */
const freshSeconds = 8

/** Its folder on the node, in memory: after a boot of the node nothing is left of it, as of the guest. */
const stateOf = ({ handle }: Pick<Guest, 'handle'>) => `/run/horcrux-guards/${handle}`

/** Functions of the scripts below. `check`: the guard of this epoch runs and has read the lease lately. `stop`: ends any. */
const functions = `state=$1 epoch=$2 fresh=$3
check() {
  [ "$(cat "$state/epoch")" = "$epoch" ] && pid=$(cat "$state/pid") && kill -0 "$pid" &&
    read -r at _ <"$state/seen.$pid" && read -r up _ </proc/uptime && [ $((\${up%%.*} - at)) -le "$fresh" ]
}
stop() {
  if pid=$(cat "$state/pid"); then kill -KILL "$pid"; fi
  rm -rf "$state" "$state.ended"
}
exec 2>/dev/null
`
/** Starts a guard unless it runs; its text comes on stdin. Ends with 9 when it does not read the lease in time. */
const startScript = `${functions}
check && exit 0
stop
mkdir -p "$state" && cat >"$state/guard" && echo "$epoch" >"$state/epoch" || exit 8
setsid -f sh "$state/guard" "$4" "$epoch" "$5" "$state" "$6"
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
  sleep 0.2
  check && exit 0
done
stop
exit 9
`

/** Prints the note of a guard that has ended its guest, and `alive` while that guard keeps it up to date. */
const endedScript = `state=$1
exec 2>/dev/null
read -r epoch storage <"$state.ended" || exit 0
alive=gone
if kill -0 "$(cat "$state/pid")"; then alive=alive; fi
echo "$epoch $storage $alive"
`

/** Runs a script while no other replica starts or ends the guard of this guest. */
async function underLock(host: Host, guest: Guest, script: string, words: string[], input?: string) {
  const state = stateOf(guest)
  await host.mkdir(dirname(state), { mode: 0o700 })
  // -o: the guard does not keep the lock.
  const lock = ['-o', '-w', '20', `${state}.lock`]
  return host.run('flock', [...lock, 'sh', '-c', script, 'sh', state, ...words], { ...(input && { input }) })
}

/** Guards of QEMU's processes, found by the UUID of the guest in their arguments. */
export const guards: Guards = {
  boundToNode: ({ firmware }) =>
    firmware === 'uefi'
      ? [{ field: 'firmware', code: 'uefi', message: 'its UEFI variables are a file of its node' }]
      : [],
  deadlineMs: guardDeadlineMs,
  start: async (guest, { path, epoch }) => {
    const { host } = await reach(guest.node)
    const words = [String(epoch), String(freshSeconds), path, guest.handle, guest.node]
    const { code } = await underLock(host, guest, startScript, words, guardScript)
    if (code === 0) return
    throw new ConflictError(
      code === 9
        ? `The guard of '${guest.id}' cannot read its lease ${path} on ${host.describe()} as root`
        : `The guard of '${guest.id}' cannot be started on ${host.describe()} (code ${code}): it needs root, and setsid and flock (Debian: util-linux)`,
    )
  },
  stop: async (guest) => {
    const { host } = await reach(guest.node)
    await underLock(host, guest, `${functions}\nstop`, ['0', '0'])
  },
  isAlive: async (guest, { epoch }) => {
    const { host } = await reach(guest.node)
    const words = [stateOf(guest), String(epoch), String(freshSeconds)]
    return (await host.run('sh', ['-c', `${functions}\ncheck`, 'sh', ...words])).code === 0
  },
  storageOfEnded: async (guest, { epoch }) => {
    const { host } = await reach(guest.node)
    const { stdout } = await host.run('sh', ['-c', endedScript, 'sh', stateOf(guest)])
    const [of, storage, guard] = stdout.trim().split(' ')
    if (Number(of) !== epoch) return null
    return storage === 'away' && guard === 'alive' ? 'away' : 'back'
  },
}
