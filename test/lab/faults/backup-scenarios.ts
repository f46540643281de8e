import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { backupJobs } from '#shared/contracts/storage/backup-jobs.ts'
import { backupStoreKeys } from '#shared/contracts/storage/backup-keys.ts'
import { backups, backupStores } from '#shared/contracts/storage/backups.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { volumeSnapshots } from '#shared/contracts/storage/volume-snapshots.ts'
import { type Snapshot, snapshots } from '#shared/contracts/vm/snapshots.ts'
import { vmBackups } from '#shared/contracts/vm/vm-backups.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { done } from '../product/run-operation.ts'
import { folderOf } from '../storage/folder-of.ts'
import type { Calling, Scenario } from './scenario.ts'

type Given = { offWithDisks: (horcrux: Calling) => Promise<unknown> }

/** The storage pool of the backups. */
export const store = { id: 'backups', type: 'dir', node: 'hv1', path: '/var/lib/libvirt/images/backups' }
/** A storage pool whose backup store is encrypted; each scenario makes it, and `clearBackups` takes it away. */
const vault = { id: 'vault', type: 'dir' }
/** Recipients whose identities were thrown away. */
const recipients = {
  first: { name: 'first', recipient: 'age12k7rgdvxdzyhn47qkjklwqne2ezmurs2jp39nu4azta2fp0rqgpq7dx4tx' },
  second: { name: 'second', recipient: 'age1wnfj0xfmhxqmcs2hyg4sg7dsp3fhenj5pn3vmx0qszt096yt94zs7kfxn9' },
}
const of = { vm_id: 'it', pool: store.id }

/** The operations on backups. */
export function backupScenarios({ offWithDisks }: Given): Record<string, Scenario> {
  const withStore = async (horcrux: Calling) => {
    await offWithDisks(horcrux)
    await horcrux.call(pools, 'create', store).catch((error: unknown) => {
      if (!(error instanceof ConflictError)) throw error
    })
  }
  const backedUp = async (horcrux: Calling) => {
    await withStore(horcrux)
    await done(horcrux, backups, 'create', { ...of, id: 'one' })
  }
  /** A store with packs that no backup needs. */
  const wasteful = async (horcrux: Calling) => {
    await backedUp(horcrux)
    await done(horcrux, backups, 'delete', { id: 'one' })
  }
  const ofSwap = { id: 'it', snapshot_id: '', head: 'head-of-backup', config: {} }
  /** Heads that are filled: the swap comes next. */
  const opened = async (horcrux: Calling) => {
    await offWithDisks(horcrux)
    const taken = (await done(horcrux, snapshots, 'create', { id: 'it', name: 'one' })) as Snapshot
    Object.assign(ofSwap, { snapshot_id: taken.id, config: taken.config })
    const disks = taken.disks.map(({ pool: id, volume }) => ({ id, volume }))
    const { snapshot_id: snapshot, head } = ofSwap
    await horcrux.call(volumeSnapshots, 'open', { disks, node: 'hv1', snapshot, head })
  }
  const withVault = (horcrux: Calling) => horcrux.call(pools, 'create', vault)
  const withRecipients = (given: readonly (keyof typeof recipients)[]) => async (horcrux: Calling) => {
    await withVault(horcrux)
    await done(horcrux, backupStoreKeys, 'encrypt', { id: vault.id, recipients: given.map((name) => recipients[name]) })
  }
  const withJob = async (horcrux: Calling) => {
    await withStore(horcrux)
    await horcrux.call(backupJobs, 'create', {
      id: 'nightly',
      name: 'nightly',
      selection: { kind: 'vm', vm_id: 'it' },
      pool: store.id,
    } as never)
  }
  /** A job that has made two backups and keeps one. */
  const withSurplus = async (horcrux: Calling) => {
    await withJob(horcrux)
    for (const id of ['one', 'two'])
      await done(horcrux, backups, 'createFor', { ...of, id, job: 'nightly', bandwidth_mib: null })
    await horcrux.call(backupJobs, 'update', { id: 'nightly', retention: { last: 1 } } as never)
  }
  return {
    'backup-jobs.retain': { before: withSurplus, params: { id: 'nightly' } },
    'backup-jobs.run': { before: withJob, params: { id: 'nightly' } },
    'backup-jobs.runDue': { before: withJob, params: { id: 'nightly', due: '2026-01-01T00:00:00.000Z', missed: 2 } },
    'backups.createFor': { before: withStore, params: { ...of, id: 'one', job: 'nightly', bandwidth_mib: null } },
    'backups.create': { before: withStore, params: { ...of, id: 'one' } },
    'backups.restore': { before: backedUp, params: { id: 'one', vm_id: 'copy', name: 'copy' } },
    'backups.restore to the same virtual machine': {
      kind: 'backups.restore',
      before: backedUp,
      params: { id: 'one', to: 'same' },
    },
    'backups.verify': { before: backedUp, params: { id: 'one' } },
    'backups.prove': { before: backedUp, params: { id: 'one', check: { kind: 'running', seconds: 1 } } },
    'backups.delete': { before: backedUp, params: { id: 'one' } },
    'backup-stores.prove': { before: backedUp, params: { id: store.id } },
    'backup-stores.collect': { before: wasteful, params: { id: store.id } },
    'backup-store-keys.encrypt': { before: withVault, params: { id: vault.id, recipients: [recipients.first] } },
    'backup-store-keys.addRecipient': {
      before: withRecipients(['first']),
      params: { id: vault.id, ...recipients.second },
    },
    'backup-store-keys.removeRecipient': {
      before: withRecipients(['first', 'second']),
      params: { id: vault.id, name: 'second' },
    },
    [`${vmBackups.name}.restore`]: { before: opened, params: ofSwap },
  }
}

/** Takes away the backups of a scenario, and what they have left in the store. */
export async function clearBackups(horcrux: Calling): Promise<void> {
  for (const { id } of (await horcrux.call(backupJobs, 'list', {})).data)
    await horcrux.call(backupJobs, 'delete', { id })
  for (const { id } of (await horcrux.call(backups, 'list', {})).data) await done(horcrux, backups, 'delete', { id })
  await done(horcrux, backupStores, 'collect', { id: store.id }).catch((error: unknown) => {
    if (!(error instanceof NotFoundError)) throw error
  })
  for (const pool of (await horcrux.call(pools, 'list', {})).data) {
    if (pool.id !== vault.id) continue
    await rm(join(folderOf(pool), 'objects'), { recursive: true, force: true })
    await horcrux.call(pools, 'delete', { id: pool.id })
  }
}

/** The encryption of the store of the scenarios, as the API and the files have it. */
export async function readVault(horcrux: Calling): Promise<string[]> {
  const pool = (await horcrux.call(pools, 'list', {})).data.find(({ id }) => id === vault.id)
  if (!pool) return []
  const { key_id, recipients: known } = await horcrux.call(backupStoreKeys, 'get', { id: vault.id })
  const file = (key: string) => readFile(join(folderOf(pool), 'objects/backups', key), 'utf8').catch(() => '')
  const config = await file('config.json')
  const stanzas = (await file('keys/data.age')).match(/^-> X25519 /gm)?.length ?? 0
  return [
    `${key_id === null ? 'no key' : 'a key'} for ${known.map(({ name }) => name).join(' ')}`,
    `a configuration with ${key_id !== null && config.includes(key_id) ? 'its' : 'no'} key`,
    `a key file for ${stanzas}`,
  ]
}
