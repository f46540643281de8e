import type { Pool } from '#shared/contracts/storage/pools.ts'
import type { Volume } from '#shared/contracts/storage/volumes.ts'
import type { Field } from '../../forms/fields.ts'
import type { Verb } from '../../forms/verbs.tsx'
import { t } from '../../words/words.ts'
import { Download } from './download.tsx'
import './words.ts'

/** The ids of the storage pools that a volume can move to. @param own the one that it is in */
export const poolsForVolumes = (pools: readonly Pool[], own: string | null): string[] =>
  pools
    .filter(({ id, state, capabilities }) => id !== own && state === 'active' && capabilities.formats.length > 0)
    .map(({ id }) => id)

/** The format of a moved volume: that of the storage pool unless chosen. */
export const formatField = (): Field => ({
  name: 'format',
  label: 'f.format',
  kind: 'select',
  options: [['', t('automatic')], 'qcow2', 'raw'],
})

export const withoutEmptyFormat = (params: Record<string, unknown>) => ({
  ...params,
  format: params['format'] || undefined,
})

/** Everything that can be done with a volume. @param pools all storage pools, to choose from */
export const volumeVerbs = (pools: readonly Pool[]): readonly Verb<Volume>[] => [
  {
    action: 'volumes.resize',
    label: 'verb.resize',
    params: ({ pool, name }) => ({ id: pool, volume: name }),
    initial: ({ size_bytes }) => ({ size: size_bytes }),
    fields: () => [{ name: 'size', label: 'f.size', isRequired: true, hint: 'hint.size' }],
  },
  {
    action: 'volumes.clone',
    label: 'verb.copy',
    params: ({ pool, name }) => ({ id: pool, volume: name }),
    initial: ({ name }) => ({ name: `${name}-2`, mode: 'full' }),
    reason: ({ used_by }) => (used_by ? t('isUsed') : undefined),
    fields: () => [
      { name: 'name', label: 'f.name', isRequired: true },
      { name: 'mode', label: 'f.mode', kind: 'select', options: ['full', 'linked'], hint: 'hint.cloneMode' },
    ],
  },
  {
    action: 'volume-downloads.open',
    label: 'verb.download',
    params: ({ pool }) => ({ id: pool }),
    view: ({ pool, name }, onClose) => <Download volumes={[{ pool, volume: name }]} onClose={onClose} />,
  },
  {
    action: 'volumes.move',
    label: 'verb.moveVolume',
    params: ({ pool, name }) => ({ id: pool, volume: name }),
    initial: ({ name }) => ({ name }),
    reason: ({ used_by, snapshots }) => (used_by ? t('isUsedMove') : snapshots > 0 ? t('hasSnapshots') : undefined),
    fields: ({ pool }) => [
      { name: 'pool', label: 'f.pool', isRequired: true, suggestions: poolsForVolumes(pools, pool) },
      { name: 'name', label: 'f.name', isRequired: true },
      formatField(),
    ],
    prepare: withoutEmptyFormat,
    note: () => <p class="dim">{t('moveIsCompared')}</p>,
  },
  {
    action: 'volumes.delete',
    label: 'verb.delete',
    params: ({ pool, name }) => ({ id: pool, volume: name }),
    reason: ({ used_by, snapshots }) => (used_by ? t('isUsed') : snapshots > 0 ? t('hasSnapshots') : undefined),
    isDanger: true,
    typed: ({ name }) => name,
    confirm: ({ name }) => t('confirmDelete', { name }),
  },
]
