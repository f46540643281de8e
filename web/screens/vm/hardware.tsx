import type { Vm } from '#shared/contracts/vm/vms.ts'
import { useState } from 'preact/hooks'
import { may } from '../../api/session.ts'
import { type Verb, VerbDialog, Verbs } from '../../forms/verbs.tsx'
import { useCollection } from '../../live/collection.ts'
import { Button } from '../../widgets/button.tsx'
import { Card } from '../../widgets/layout.tsx'
import { Empty } from '../../widgets/states.tsx'
import { NameOf } from '../../lists/name-of.tsx'
import type { Column } from '../../widgets/column.ts'
import { Table } from '../../widgets/table.tsx'
import { bytes } from '../../words/format.ts'
import { t } from '../../words/words.ts'
import { formatField, poolsForVolumes, withoutEmptyFormat } from '../storage/volume-verbs.tsx'

type Disk = Vm['disks'][number]
type Nic = Vm['nics'][number]

const diskColumns: Column<Disk>[] = [
  { key: 'id', head: 'f.place', cell: ({ id }) => <b>{id}</b> },
  { key: 'size', head: 'f.size', cell: ({ size_bytes }) => bytes(size_bytes), isNumeric: true },
  {
    key: 'volume',
    head: 'f.volume',
    cell: ({ pool, volume, path }) =>
      pool ? (
        <a href={`/storage/${pool}`}>
          <NameOf of="pools.list" id={pool} />/{volume}
        </a>
      ) : (
        path
      ),
  },
  { key: 'format', head: 'f.format', cell: ({ format }) => format, drop: 2 },
  { key: 'bus', head: 'f.bus', cell: ({ bus }) => bus, drop: 2 },
]
const nicColumns: Column<Nic>[] = [
  { key: 'mac', head: 'f.mac', cell: ({ mac }) => <code>{mac}</code> },
  { key: 'network', head: 'f.network', cell: ({ network, bridge }) => network ?? bridge },
  { key: 'model', head: 'f.model', cell: ({ model }) => model, drop: 2 },
]

export function Hardware({ vm }: { vm: Vm }) {
  const [open, setOpen] = useState<Verb<Vm>>()
  const { id } = vm
  const allPools = useCollection('pools.list', {}, 'pools.get').items
  const pools = allPools.map((pool) => pool.id)
  const diskVerbs: Verb<Disk>[] = [
    {
      action: 'devices.resizeDisk',
      label: 'verb.resize',
      params: ({ device_id }) => ({ id, disk: device_id }),
      initial: ({ size_bytes }) => ({ size: size_bytes }),
      fields: () => [{ name: 'size', label: 'f.size', isRequired: true, hint: 'hint.size' }],
    },
    {
      action: 'devices.moveDisk',
      label: 'verb.moveVolume',
      params: ({ device_id }) => ({ id, disk: device_id }),
      reason: ({ pool }) => (pool ? undefined : t('isInNoPool')),
      fields: ({ pool }) => [
        { name: 'pool', label: 'f.pool', isRequired: true, suggestions: poolsForVolumes(allPools, pool ?? null) },
        formatField(),
        { name: 'bytes_per_second', label: 'f.bytesPerSecond', hint: 'hint.bytesPerSecond' },
      ],
      prepare: withoutEmptyFormat,
      note: () => <p class="dim">{t(vm.status === 'stopped' ? 'moveIsCompared' : 'moveIsLive')}</p>,
    },
    {
      action: 'devices.detachDisk',
      label: 'verb.detach',
      params: ({ device_id }) => ({ id, disk: device_id }),
      fields: () => [{ name: 'purge', label: 'f.purgeDisk' }],
      confirm: (disk) => t('confirmDetach', { name: disk.id }),
      isDanger: true,
    },
  ]
  const nicVerbs: Verb<Nic>[] = [
    {
      action: 'devices.detachNic',
      label: 'verb.detach',
      params: ({ device_id }) => ({ id, nic: device_id }),
      confirm: ({ mac }) => t('confirmDetach', { name: mac }),
      isDanger: true,
    },
  ]
  const attachDisk: Verb<Vm> = {
    action: 'devices.attachDisk',
    label: 'verb.attachDisk',
    params: () => ({ id }),
    initial: () => ({ pool: pools[0], size: 10 * 2 ** 30, bus: 'virtio' }),
    fields: () => [
      { name: 'pool', label: 'f.pool', isRequired: true, suggestions: pools },
      { name: 'size', label: 'f.size', hint: 'hint.newDisk' },
      { name: 'volume', label: 'f.volume', hint: 'hint.freeVolume' },
      { name: 'bus', label: 'f.bus', kind: 'select', options: ['virtio', 'scsi', 'sata'] },
    ],
    // A free volume has its size already.
    prepare: (params) => (params['volume'] ? { ...params, size: undefined } : params),
  }
  const attachNic: Verb<Vm> = {
    action: 'devices.attachNic',
    label: 'verb.attachNic',
    params: () => ({ id }),
    initial: () => ({ network: 'default', model: 'virtio' }),
    fields: () => [
      { name: 'network', label: 'f.network', hint: 'hint.network' },
      { name: 'bridge', label: 'f.bridge' },
      { name: 'model', label: 'f.model', kind: 'select', options: ['virtio', 'e1000e', 'rtl8139'] },
    ],
  }
  const iso: Verb<Vm> = {
    action: 'devices.insert',
    label: 'verb.insertIso',
    params: () => ({ id }),
    fields: () => [{ name: 'path', label: 'f.iso', isRequired: true, hint: 'hint.iso' }],
  }
  const eject: Verb<Vm> = {
    action: 'devices.eject',
    label: 'verb.eject',
    params: () => ({ id }),
    reason: () => (vm.iso ? undefined : t('noIso')),
  }
  const add = (verb: Verb<Vm>) =>
    may(verb.action, { id }) && (
      <Button icon="plus" onClick={() => setOpen(verb)}>
        {t(verb.label)}
      </Button>
    )
  return (
    <div class="stack">
      <Card title={t('disks')} actions={add(attachDisk)}>
        {vm.disks.length === 0 ? (
          <Empty title={t('noDisks')} />
        ) : (
          <Table
            label={t('disks')}
            columns={diskColumns}
            rows={vm.disks}
            idOf={(disk) => disk.device_id}
            rowActions={(disk) => <Verbs item={disk} verbs={diskVerbs} label={disk.id} />}
          />
        )}
      </Card>
      <Card title={t('nics')} actions={add(attachNic)}>
        {vm.nics.length === 0 ? (
          <Empty title={t('noNics')} />
        ) : (
          <Table
            label={t('nics')}
            columns={nicColumns}
            rows={vm.nics}
            idOf={({ mac }) => mac}
            rowActions={(nic) => <Verbs item={nic} verbs={nicVerbs} label={nic.mac} />}
          />
        )}
      </Card>
      <Card title={t('cdrom')} actions={<Verbs item={vm} verbs={[iso, eject]} shown={2} label={t('cdrom')} />}>
        <p class="mono">{vm.iso ?? t('noIso')}</p>
      </Card>
      {vm.foreign_disks.length > 0 && (
        <Card title={t('foreignDisks')}>
          <ul>
            {vm.foreign_disks.map((disk) => (
              <li key={disk.id}>
                <b>{disk.id}</b> {disk.device} {disk.source}
              </li>
            ))}
          </ul>
        </Card>
      )}
      {open && <VerbDialog verb={open} item={vm} name={vm.name} onClose={() => setOpen(undefined)} />}
    </div>
  )
}
