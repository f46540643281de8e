import { expect, test } from 'vitest'
import { cloneObstaclesIn, hasEmulatedTpm, keepsTpms } from '../../../services/vm/drivers/qemu/host/host-state.ts'
import { domainXml } from '../../../services/vm/drivers/qemu/xml/domain-xml.ts'
import { takeFirmware } from '../../../services/vm/drivers/qemu/xml/firmware.ts'
import { parseXml, writeXml } from '../../../services/vm/drivers/qemu/xml/xml.ts'
import { plainGuest } from '../../lab/guests/plain-guest.ts'

const withDevices = (devices: string, os = '') =>
  parseXml(`<domain><name>a</name><os>${os}</os><devices>${devices}</devices></domain>`)
const emulated = "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"
const passedThrough = "<tpm model='tpm-tis'><backend type='passthrough'/></tpm>"

test('a guest with a TPM of any kind is not cloned; only the state of an emulated one is on the host', () => {
  expect([emulated, passedThrough, ''].map((tpm) => cloneObstaclesIn(withDevices(tpm)).length)).toEqual([1, 1, 0])
  expect([emulated, passedThrough, ''].map((tpm) => hasEmulatedTpm(withDevices(tpm)))).toEqual([true, false, false])
})

test('a guest whose UEFI variables are in no file of the node is not cloned', () => {
  const obstacles = (nvram: string) => cloneObstaclesIn(withDevices('', nvram)).length
  expect(obstacles("<nvram type='network'><source protocol='iscsi' name='a/0'/></nvram>")).toBe(1)
  expect(obstacles("<nvram type='block'><source dev='/dev/a'/></nvram>")).toBe(1)
  expect(obstacles("<nvram type='file'><source file='/a.fd'/></nvram>")).toBe(0)
  expect(obstacles('<nvram>/a.fd</nvram>')).toBe(0)
})

test('libvirt keeps the state of a TPM from version 8.9 on', () => {
  expect(['7.0.0', '8.8.9', '8.9.0', '9.0.0', '10.2.1'].map(keepsTpms)).toEqual([false, false, true, true, true])
})

/** The new definition of a clone, with the firmware of its source. */
const cloned = (
  os: string,
  { firmware = 'uefi' as const, more = '' }: { firmware?: 'bios' | 'uefi'; more?: string } = {},
) => {
  const files = { log: '/log', socket: '/socket', variables: '/variables' }
  const made = parseXml(domainXml({ ...plainGuest, firmware }, files))
  const source = parseXml(`<domain><name>a</name>${os}<features>${more}</features><devices/></domain>`)
  const isOther = takeFirmware(made, source)
  return { isOther, xml: writeXml(made).replaceAll(/>\s+</g, '><') }
}

test('a clone has the firmware of its source: features, file, template of the variables, and smm', () => {
  const features = '<firmware><feature enabled="no" name="secure-boot"/></firmware>'
  const chosen = cloned(`<os firmware="efi"><type>hvm</type>${features}<nvram>/source.fd</nvram></os>`)
  expect(chosen.xml).toContain(features)
  expect(chosen.xml).toContain('<nvram>/variables</nvram>')

  const loader = '<loader readonly="yes" secure="yes" type="pflash">/firmware/mine.fd</loader>'
  const named = cloned(`<os><type>hvm</type>${loader}<nvram template="/firmware/vars.fd">/source.fd</nvram></os>`, {
    more: '<smm state="on"/>',
  })
  expect(named.xml).toContain(loader)
  expect(named.xml).toContain('<nvram template="/firmware/vars.fd">/variables</nvram>')
  expect(named.xml).toContain('<smm state="on"/>')
  expect(named.xml).not.toContain('firmware="efi"')
  expect(named.xml).not.toContain('/source.fd')

  const rom = cloned('<os><type>hvm</type><loader type="rom">/firmware/bios.bin</loader></os>', { firmware: 'bios' })
  expect(rom.xml).toContain('<loader type="rom">/firmware/bios.bin</loader>')
  const stateless = '<loader readonly="yes" type="pflash" stateless="yes">/firmware/mine.fd</loader>'
  expect(cloned(`<os><type>hvm</type>${stateless}</os>`).xml).not.toContain('<nvram')
})

test('a clone of a guest with the usual firmware is not defined a second time', () => {
  expect(cloned('<os firmware="efi"><type>hvm</type><nvram>/source.fd</nvram></os>').isOther).toBe(false)
  expect(cloned('<os><type>hvm</type></os>', { firmware: 'bios' }).isOther).toBe(false)
})
