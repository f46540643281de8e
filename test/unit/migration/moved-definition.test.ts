import { expect, test } from 'vitest'
import { movedDefinition } from '../../../services/vm/drivers/qemu/relocation/moved-definition.ts'
import { markOfSource } from '../../../services/vm/drivers/qemu/xml/disk-source.ts'

const xml = `<domain type='qemu'><name>a</name>
<metadata><horcrux:vm xmlns:horcrux='urn:horcrux:vm:1' id='a'><horcrux:disk place='vda' source='old'/><horcrux:disk place='vdb' source='kept'/></horcrux:vm></metadata>
<os><nvram>/one/nvram/a.fd</nvram></os>
<devices><disk type='file' device='disk'><source file='/one/a.qcow2' index='1'/><backingStore type='file'/><target dev='vda' bus='virtio'/></disk>
<disk type='file' device='disk'><source file='/shared/b.raw'/><backingStore/><target dev='vdb' bus='virtio'/></disk>
<disk type='file' device='cdrom'><source file='/one/seeds/a.iso'/><target dev='sdy' bus='scsi'/></disk>
<serial type='unix'><source mode='bind' path='/one/serial/a.sock'/><log file='/one/serial/a.log'/></serial></devices></domain>`

test('disks, files and our mark are those of the target; all else stays', () => {
  const source = { type: 'file' as const, path: '/two/a.qcow2' }
  const files = [
    { from: '/one/nvram/a.fd', to: '/two/nvram/a.fd' },
    { from: '/one/seeds/a.iso', to: '/two/seeds/a.iso' },
    { from: '/one/serial/a.sock', to: '/two/serial/a.sock' },
    { from: '/one/serial/a.log', to: '/two/serial/a.log' },
  ]
  const moved = movedDefinition(xml, [{ id: 'vda', source, isCopied: true }], files)
  expect(moved).not.toContain('/one/')
  expect(moved).toContain('<source file="/two/a.qcow2"/><target dev="vda" bus="virtio"/>')
  expect(moved).toContain(`place="vda" source="${markOfSource(source)}"`)
  expect(moved).toContain('place="vdb" source="kept"')
  expect(moved).toContain('<source file="/shared/b.raw"/><backingStore/>')
})
