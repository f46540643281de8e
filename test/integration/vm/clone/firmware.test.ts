import { randomUUID } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { type CloneLab, startCloneLab } from '../../../lab/guests/clones.ts'
import { foreignDomain } from '../../../lab/guests/foreign-domain.ts'
import { done } from '../../../lab/product/run-operation.ts'

let lab: CloneLab
beforeAll(async () => {
  lab = await startCloneLab()
})
afterAll(() => lab?.stop())
afterEach(() => lab.clear())

const virsh = async (...words: string[]) =>
  (await localHost().runChecked('virsh', ['-q', '-c', lab.lab.uri, ...words])).stdout.trim()
const adopt = async (name: string, xml: string) => {
  const file = join(lab.lab.dir, `${name}.xml`)
  await writeFile(file, xml)
  await virsh('define', file)
  return (await done(lab.horcrux, vms, 'adopt', { node: 'hv1', domain: name, id: name })) as Vm
}
test('a clone has the firmware of its source: secure boot stays off, a named file stays', async () => {
  const { horcrux } = lab
  const firmwareOf = async (domain: string) =>
    /<os.*?<\/os>/s
      .exec(await virsh('dumpxml', '--inactive', domain))![0]
      .replaceAll(/\s*<(type|nvram|boot|bootmenu|smbios)\b.*?(\/>|<\/\1>)/gs, '')
  const usual = '<os><type arch="x86_64" machine="pc">hvm</type>'
  const off = '<firmware><feature enabled="no" name="secure-boot"/></firmware>'
  const insecure = `<os firmware="efi"><type arch="x86_64" machine="q35">hvm</type>${off}`
  const loader = '<loader readonly="yes" type="pflash">/usr/share/OVMF/OVMF_CODE_4M.fd</loader>'
  const named = `<os><type arch="x86_64" machine="q35">hvm</type>${loader}`
  for (const [name, os] of Object.entries({ insecure, named })) {
    await adopt(name, foreignDomain(name, randomUUID()).replace(usual, os))
    const copy = await lab.clone(name, `${name}-copy`)
    expect(copy.firmware).toBe('uefi')
    expect(await firmwareOf(`${name}-copy`), name).toBe(await firmwareOf(name))
    expect(await virsh('dumpxml', '--inactive', `${name}-copy`)).toContain(`/nvram/${name}-copy.fd`)
    await done(horcrux, vms, 'start', { id: `${name}-copy` })
    expect(await virsh('dumpxml', `${name}-copy`)).toContain('OVMF_CODE_4M.fd')
  }
})
