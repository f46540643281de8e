import { afterAll, beforeAll, expect, test } from 'vitest'
import { operations } from '#shared/contracts/core/operations.ts'
import { guests } from '#shared/contracts/vm/guests.ts'
import { type Snapshot, snapshots } from '#shared/contracts/vm/snapshots.ts'
import { type CloneLab, startCloneLab } from '../../../lab/guests/clones.ts'
import { runningSource } from '../../../lab/guests/running-source.ts'
import { work } from '../../../lab/product/run-operation.ts'
import { until } from '../../../lab/wait.ts'

const id = 'web'
let lab: CloneLab
let guest: Awaited<ReturnType<typeof runningSource>>
beforeAll(async () => {
  lab = await startCloneLab()
  guest = await runningSource(lab)
  await guest.make(id)
  const find = 'for p in /sys/class/virtio-ports/*; do grep -q guest_agent $p/name && d=/dev/${p##*/}; done'
  await guest.types(id, `${find}; echo port $((1+1))`, 'port 2')
})
afterAll(async () => {
  await lab?.clear()
  await guest?.stop()
  await lab?.stop()
})

const agent = () => lab.horcrux.call(guests, 'agent', { id })
let tries = 0

/**
 * Puts another agent on the channel of QEMU's: it answers as that one does (QEMU Guest Agent Protocol Reference), but at
 * a freeze does `atFreeze`, in the words of the guest's shell.
 */
async function otherAgent(atFreeze: string): Promise<void> {
  const answer = (value: string) => `r='{"return":${value}}'`
  const cases = [
    `*sync-delimited*) printf '\\377{"return":%s}\\n' $i >&3; continue`,
    `*guest-sync*) r='{"return":'$i'}'`,
    `*guest-info*) ${answer('{"version":"7.2","supported_commands":[]}')}`,
    `*freeze-status*) ${answer('"thawed"')}`,
    `*freeze-freeze*) ${atFreeze}`,
    `*freeze-thaw*) ${answer('0')}`,
    `*) r='{"error":{"class":"CommandNotFound","desc":"not here"}}'`,
  ]
  const read = 'i=${l##*id\\":}; i=${i%%[!0-9]*}'
  // A read ends at once while nobody is connected on the host.
  const loop = `while :; do read -r l <&3 || { sleep 1; continue; }; ${read}; case $l in ${cases.join(';; ')};; esac; echo "$r" >&3; done`
  const word = `other ${++tries}`
  await guest.types(
    id,
    `killall qemu-ga; sleep 1; (exec 3<>$d; ${loop}) & echo $! >/tmp/other.pid; echo other $((${tries}))`,
    word,
  )
  await until(async () => (await agent()).version === '7.2', { what: 'the other agent', intervalMs: 500 })
}

/** QEMU's agent comes back, as a system in a guest would start it again. */
async function ownAgent(): Promise<void> {
  const start = 'qemu-ga -m virtio-serial -p $d -t /tmp >/dev/null 2>&1 &'
  await guest.types(id, `kill -9 $(cat /tmp/other.pid); sleep 1; ${start} echo own $((${tries}))`, `own ${tries}`)
}

async function snapshotOf(name: string) {
  const ended = await work(lab.horcrux, snapshots, 'create', { id, name })
  expect(ended.error).toBeNull()
  const { data } = await lab.horcrux.call(operations, 'log', { id: ended.id })
  // The result of the operation is the snapshot.
  return { snapshot: ended.result as Snapshot, said: data.map(({ message }) => message).join('\n') }
}

test('a guest whose agent ends while it is frozen is told of, and is thawed once it has an agent again (V14)', async () => {
  await otherAgent('fsfreeze -f /mnt; echo \'{"return":1}\' >&3; exit')
  const { snapshot, said } = await snapshotOf('gone')
  expect(snapshot).toMatchObject({ state: 'ready', consistency: 'crash' })
  expect(said).toContain("The guest of 'web' may still be frozen")
  expect((await agent()).thaws_at).not.toBeNull()
  await ownAgent()
  await until(async () => (await agent()).thaws_at === null, { what: 'the thaw', intervalMs: 500 })
  expect((await agent()).frozen).toBe(false)
  await guest.types(id, 'echo more >/mnt/more; sync; echo wrote $((3+3))', 'wrote 6')
})

test('an agent that hangs in a freeze does not hold up a snapshot, which is that of a crash (V14)', async () => {
  await otherAgent('sleep 1000 3>&-')
  const begun = Date.now()
  const { snapshot, said } = await snapshotOf('hung')
  expect(Date.now() - begun).toBeLessThan(55_000)
  expect(snapshot).toMatchObject({ state: 'ready', consistency: 'crash', frozen_filesystems: 0 })
  expect(said).toContain("The guest of 'web' may still be frozen")
  await ownAgent()
  await until(async () => (await agent()).thaws_at === null, { what: 'the thaw', intervalMs: 500 })
  const { snapshot: later } = await snapshotOf('later')
  expect(later).toMatchObject({ consistency: 'filesystem', frozen_filesystems: 1 })
})
