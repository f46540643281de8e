import { expect, test } from 'vitest'
import { secretXml } from '#shared/nodes/libvirt/client/secret.ts'

test('a secret of libvirt is private and kept; a name with markup in it stays a name', () => {
  const id = '0198d1c5-7b1e-4000-8000-000000000001'
  const xml = secretXml({ id, usage: 'ceph', label: 'name', name: '</name><x>&' })
  expect(xml).toBe(
    `<secret ephemeral="no" private="yes"><uuid>${id}</uuid><usage type="ceph"><name>&lt;/name&gt;&lt;x&gt;&amp;</name></usage></secret>`,
  )
})
