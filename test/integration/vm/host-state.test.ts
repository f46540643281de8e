import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { templates } from '#shared/contracts/vm/templates.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { ConflictError } from '#shared/errors.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { available } from '../../lab/requirements.ts'
import { type CloneLab, refusal, startCloneLab } from '../../lab/guests/clones.ts'
import { foreignDomain } from '../../lab/guests/foreign-domain.ts'
import { done } from '../../lab/product/run-operation.ts'

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
const refusedTemplate = async (vm_id: string) =>
  (await refusal(lab.horcrux.call(templates, 'create', { vm_id }), ConflictError)).message

const hasSwtpm = available(
  'swtpm',
  existsSync('/usr/bin/swtpm') ? [] : ["the emulated TPM (Debian's packages swtpm and swtpm-tools)"],
)

test.skipIf(!hasSwtpm)(
  'a template keeps the state of its TPM until it is deleted, and a guest with a TPM is not cloned',
  async () => {
    const { horcrux, images } = lab
    const uuid = randomUUID()
    const state = `/var/lib/libvirt/swtpm/${uuid}/tpm2/tpm2-00.permall`
    const isKept = async () => (await images.host.stat(state)) !== null
    const tpm = '<tpm model="tpm-tis"><backend type="emulator" version="2.0"/></tpm>'
    await images.host.mkdir(`/var/lib/libvirt/swtpm/${uuid}/tpm2`)
    await images.host.writeFile(state, 'keys')
    await adopt('sealed', foreignDomain('sealed', uuid).replace('</devices>', `${tpm}</devices>`))
    const refused = await refusal(lab.clone('sealed', 'copy'), ConflictError)
    expect(refused.message).toMatch(/it has a TPM, and the clone would have none/)

    await lab.makeTemplate('sealed')
    expect(await isKept()).toBe(true)
    await refusal(lab.deploy('sealed', 'linked'), ConflictError)
    await done(horcrux, templates, 'delete', { id: 'sealed' })
    expect(await isKept()).toBe(true)
    expect(await virsh('dumpxml', uuid)).toContain("<backend type='emulator'")
    await lab.makeTemplate('sealed')
    await done(horcrux, vms, 'delete', { id: 'sealed' })
    expect(await isKept()).toBe(false)
    expect(await virsh('list', '--all', '--uuid')).not.toContain(uuid)
  },
)

test("a guest with a saved memory or libvirt's snapshots becomes no template, and keeps them", async () => {
  const { horcrux } = lab
  await done(horcrux, vms, 'create', { id: 'saved', name: 'saved', memory: 128, cpus: 1, node: 'hv1' })
  await done(horcrux, vms, 'start', { id: 'saved' })
  await virsh('managedsave', 'saved')
  expect(await refusedTemplate('saved')).toMatch(/its memory is saved/)
  expect(await virsh('list', '--all', '--with-managed-save', '--name')).toBe('saved')
  await virsh('managedsave-remove', 'saved')

  await virsh('snapshot-create-as', 'saved', 'before')
  expect(await refusedTemplate('saved')).toMatch(/libvirt has 1 snapshot of it/)
  expect(await virsh('snapshot-list', 'saved', '--name')).toBe('before')
  await virsh('snapshot-delete', 'saved', 'before')
  expect(await lab.makeTemplate('saved')).toMatchObject({ template: true })
})

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
