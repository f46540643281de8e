import { expect, test } from 'vitest'
import { imagesIn, mirrorOf } from '../../../services/vm/drivers/qemu/guest/mirror-job.ts'
import { parseXml } from '../../../services/vm/drivers/qemu/xml/xml.ts'

const domain = (mirror: string) =>
  parseXml(`<domain><devices>
    <disk type='file' device='disk'><source file='/a/x.qcow2'/>${mirror}<target dev='vda' bus='virtio'/></disk>
    <disk type='file' device='disk'><source file='/a/y.raw'/><target dev='vdb' bus='virtio'/></disk>
  </devices></domain>`)

test('a disk that is not copied has its source alone', () => {
  const none = domain('')
  expect(imagesIn(none, 'vda')).toEqual({ source: { type: 'file', path: '/a/x.qcow2' }, mirror: null, isReady: false })
  expect(imagesIn(none, 'vdz')).toEqual({ source: null, mirror: null, isReady: false })
})

test('the image that a disk is copied to is read, and when both are the same', () => {
  const file = `<mirror type='file' job='copy'><format type='raw'/><source file='/b/x.raw'/></mirror>`
  expect(imagesIn(domain(file), 'vda')).toMatchObject({ mirror: { type: 'file', path: '/b/x.raw' }, isReady: false })
  expect(imagesIn(domain(file), 'vdb')).toMatchObject({ mirror: null })
  const network = `<mirror type='network' job='copy' ready='yes'><source protocol='rbd' name='p/x'><host name='h' port='1'/><auth username='u'><secret type='ceph' uuid='0198d1c5-7b1e-4000-8000-000000000001'/></auth></source></mirror>`
  expect(imagesIn(domain(network), 'vda')).toMatchObject({
    mirror: { type: 'network', protocol: 'rbd', name: 'p/x' },
    isReady: true,
  })
  // A job that is about to end, one way or the other, is not ready any more.
  const ending = network.replace("ready='yes'", "ready='pivot'")
  expect(imagesIn(domain(ending), 'vda').isReady).toBe(false)
})

test('an image to copy to is a disk of its type and format', () => {
  const xml = mirrorOf({ disk: 'vda', format: 'raw', source: { type: 'block', path: '/dev/vg/x' } })
  expect(parseXml(xml)).toMatchObject({ name: 'disk', attributes: { type: 'block' } })
  expect(xml).toContain('dev="/dev/vg/x"')
  expect(xml).toContain('type="raw"')
})
