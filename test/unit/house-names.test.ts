import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { poolKinds } from '#shared/contracts/storage/pool-kinds.ts'
import { engineKinds } from '#shared/nodes/engines.ts'
import { runtimes } from '../../services/container/drivers/drivers.ts'
import { hypervisors } from '../../services/vm/drivers/drivers.ts'

const root = resolve(import.meta.dirname, '../..')

const product = ['shared', 'services', 'bin', 'cli'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => join(folder, path)),
)
const textOf = (path: string) => readFileSync(join(root, path), 'utf8')

/** Files in which a name is a string of its own. */
const filesNaming = (name: string) => product.filter((path) => new RegExp(`(['"\`])${name}\\1`).test(textOf(path)))

type Places = {
  kind: string
  names: readonly string[]
  /** The branch of the contract, and the line of the map. */
  contract: string
  map: string
  /** The folder of a name's driver. */
  driver: (name: string) => string
}

/** Two engines, or hypervisors, that speak one API share a driver. */
const shared: Record<string, string> = { incus: 'lxd', podman: 'docker' }
const folderOf = (name: string) => shared[name] ?? name

const places: Places[] = [
  {
    kind: 'storage pool',
    names: Object.keys(poolKinds),
    contract: 'shared/contracts/storage/pool-kinds.ts',
    map: 'services/storage/drivers/drivers.ts',
    driver: (name) => `services/storage/drivers/${name}/`,
  },
  {
    kind: 'hypervisor',
    names: hypervisors,
    contract: 'shared/contracts/vm/vms.ts',
    map: 'services/vm/drivers/drivers.ts',
    driver: (name) => `services/vm/drivers/${folderOf(name)}/`,
  },
  {
    kind: 'container engine',
    names: runtimes,
    contract: 'shared/contracts/container/parts.ts',
    map: 'services/container/drivers/drivers.ts',
    driver: (name) => `services/container/drivers/${folderOf(name)}/`,
  },
  {
    kind: 'engine',
    names: engineKinds,
    contract: 'shared/contracts/cluster/nodes.ts',
    map: 'shared/nodes/engines.ts',
    driver: (name) => `shared/nodes/${folderOf(name)}/`,
  },
]

/** Other files that write a name, each with its reason. */
const exceptions: Record<string, string[]> = {
  // Samples name their source.
  'services/metrics/sources/libvirt/guests.ts': ['libvirt'],
  // The packages of Debian that the machine of Horcrux gets: the tests need LXD, guests need libvirt.
  'shared/platform/requirements.ts': ['libvirt', 'lxd', 'podman'],
  'shared/nodes/host/packages.ts': ['lxc', 'lxd', 'podman'],
  // The simulated fleet of the demo has guests, containers and storage pools of these kinds.
  'bin/fleet/plan.ts': ['qemu', 'docker', 'libvirt', 'dir', 'ceph'],
  // File systems and programs inside a guest that reads the disks of backups.
  'services/storage/files/guest/init.ts': ['btrfs'],
  'services/storage/files/guest/image.ts': ['lvm'],
  // libvirt's own word for a domain that is emulated.
  'shared/nodes/libvirt/client/host-facts.ts': ['qemu'],
  // LXD's own word for its driver of virtual machines.
  'services/vm/drivers/lxd/check.ts': ['qemu'],
  // The word of Proxmox VE for its virtual machines, in paths and answers of its API.
  'services/vm/imports/proxmox/read.ts': ['qemu'],
  // Fields of the API that are of single engines, from before a node had engines.
  'services/cluster/nodes/older-names.ts': ['qemu'],
}

const every = [...new Set(places.flatMap(({ names }) => names))]

describe('the name of a storage kind, a hypervisor or an engine', () => {
  test.each(every)('%s stands in its driver, in the contract and in the map, and nowhere else', (name) => {
    const own = places.filter(({ names }) => names.includes(name))
    const isOwn = (path: string) =>
      own.some(({ contract, map, driver }) => path === contract || path === map || path.startsWith(driver(name)))
    const elsewhere = filesNaming(name).filter((path) => !isOwn(path) && !exceptions[path]?.includes(name))
    expect(elsewhere).toEqual([])
  })

  test('is no exception any more where the file has ceased to write it', () => {
    const stale = Object.entries(exceptions).flatMap(([path, names]) =>
      names.filter((name) => !filesNaming(name).includes(path)).map((name) => `${path}: ${name}`),
    )
    expect(stale).toEqual([])
  })

  test('is a line of the map for each in the contract', () => {
    for (const { names, map } of places)
      for (const name of names) expect(textOf(map)).toMatch(new RegExp(`\\b${name}\\b`))
  })
})

/** Words of single hypervisors: their names, their identities, places, firmware and protocols. */
const foreign = new RegExp(`\\b(${every.join('|')}|\\w*uuid|bios|uefi|tcg|kvm|qmp|[vsh]d[a-z])\\b`, 'gi')

test('the code of VMs outside the drivers has no word of a single hypervisor', () => {
  const allowed: Record<string, string[]> = {
    // The library for random ids.
    'services/vm/consoles/tickets.ts': ['uuid'],
    // The field of answers that has the handle of a guest.
    'services/vm/adoption/adopt-many.ts': ['uuid'],
    'services/vm/adoption/judge.ts': ['uuid'],
    'services/vm/adoption/unmanaged.ts': ['uuid'],
    // The name of the stored field before handles.
    'services/vm/model.ts': ['domain_uuid'],
  }
  const found = product
    // The configuration of another system is read in its own words.
    .filter((path) => path.startsWith('services/vm/') && !/^services\/vm\/(drivers|imports\/proxmox)\//.test(path))
    .flatMap((path) =>
      [...textOf(path).matchAll(foreign)]
        .filter(([word]) => !allowed[path]?.includes(word))
        .map(([word]) => `${path}: ${word}`),
    )
  expect(found).toEqual([])
})
