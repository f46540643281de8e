import { expect, test } from 'vitest'
import { incomingPorts, watchStandstill } from '../../../services/vm/drivers/qemu/relocation/post-copy.ts'

// By `ss -tnpH` of a host that receives a guest; the third QEMU is of another guest, the second socket is no migration.
const sockets = `
ESTAB 0      0               10.99.3.2:16509        10.99.3.254:39882 users:(("libvirtd",pid=4517,fd=23))
ESTAB 0      0               10.99.3.2:40112          10.99.3.9:6789  users:(("qemu-system-x86",pid=21376,fd=31))
ESTAB 0      0      [::ffff:10.99.3.2]:49152 [::ffff:10.99.3.1]:35174 users:(("qemu-system-x86",pid=21376,fd=15))
ESTAB 0      0      [::ffff:10.99.3.2]:49153 [::ffff:10.99.3.1]:35180 users:(("qemu-system-x86",pid=21400,fd=15))
`

test('only the connections over which a guest is received are closed', () => {
  expect(incomingPorts(sockets, new Set(['21376']))).toEqual([{ local: '49152', remote: '35174' }])
  expect(incomingPorts(sockets, new Set())).toEqual([])
})

test('a transfer stands still when nothing has arrived for ten seconds, and again ten seconds later', () => {
  let now = 0
  const standsStill = watchStandstill(() => now)
  const at = (ms: number, sent: number, remaining = 1) => ((now = ms), standsStill({ sent, remaining }))
  expect([at(0, 5), at(9000, 6), at(18_000, 6), at(19_000, 6), at(20_000, 6), at(29_000, 6)]).toEqual([
    false,
    false,
    false,
    true,
    false,
    true,
  ])
  // Its rest is with the kernel.
  expect([at(40_000, 6, 0), at(60_000, 6, 0)]).toEqual([false, false])
})
