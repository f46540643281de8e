import type { Vm } from '#shared/contracts/vm/vms.ts'
import { vmPowerStates } from '#shared/contracts/power-states.ts'
import { type Verb, wrongStatus } from '../../forms/verbs.tsx'
import { t } from '../../words/words.ts'

/** The fields of a VM that its verbs read: a row of the list has them too. */
type Row = Pick<Vm, 'id' | 'name' | 'status' | 'template' | 'protected'>
type PowerVerb = keyof typeof vmPowerStates

const power = (verb: PowerVerb, more: Partial<Verb<Row>> = {}): Verb<Row> => ({
  action: `vms.${verb}`,
  label: `verb.${verb}`,
  params: ({ id }) => ({ id }),
  reason: ({ status, template }) => (template ? t('isTemplate') : wrongStatus(vmPowerStates, verb, status)),
  ...more,
})

const stopped = ({ status, template }: Row) =>
  template ? t('isTemplate') : status === 'stopped' ? undefined : t('mustBeStopped')

/** Everything that can be done with a VM from its row and its head. */
export const vmVerbs: readonly Verb<Row>[] = [
  power('start'),
  power('shutdown'),
  power('restart'),
  power('pause'),
  power('resume'),
  power('stop', { isDanger: true, confirm: ({ name }) => t('confirmStop', { name }) }),
  power('reset', { isDanger: true, confirm: ({ name }) => t('confirmStop', { name }) }),
  {
    action: 'vms.clone',
    label: 'verb.clone',
    params: ({ id }) => ({ vm: id }),
    initial: ({ name }) => ({ names: [`${name}-2`], mode: 'full' }),
    eachOf: { field: 'names', as: 'name' },
    fields: ({ template }) => [
      { name: 'names', label: 'f.cloneNames', kind: 'lines', rows: 3, isRequired: true, hint: 'hint.cloneNames' },
      {
        name: 'mode',
        label: 'f.mode',
        kind: 'select',
        options: template ? ['linked', 'full'] : ['full', 'linked'],
        hint: 'hint.cloneMode',
      },
      { name: 'pool', label: 'f.pool', hint: 'hint.asSource' },
      { name: 'memory', label: 'f.memory', hint: 'hint.asSource' },
      { name: 'cpus', label: 'f.cpus', hint: 'hint.asSource' },
      { name: 'start', label: 'f.startAfter' },
    ],
  },
  {
    action: 'vms.cloneCrossNode',
    label: 'verb.cloneAcross',
    params: ({ id }) => ({ vm: id }),
    reason: ({ status }) => (status === 'stopped' ? undefined : t('mustBeStopped')),
    initial: ({ name }) => ({ name: `${name}-2`, compression_enabled: true }),
    fields: () => [
      { name: 'name', label: 'f.name', isRequired: true },
      { name: 'target_node', label: 'f.targetNode', isRequired: true },
      { name: 'pool', label: 'f.targetPool', hint: 'hint.targetPool' },
      { name: 'bandwidth_limit_mbps', label: 'f.bandwidthMbps', hint: 'hint.unlimited' },
      { name: 'compression_enabled', label: 'f.compression', hint: 'hint.compression' },
      { name: 'start', label: 'f.startAfter' },
    ],
  },
  {
    action: 'backups.create',
    label: 'verb.backup',
    params: ({ id }) => ({ vm_id: id }),
    fields: () => [
      { name: 'pool', label: 'f.pool', isRequired: true, hint: 'hint.backupPool' },
      { name: 'description', label: 'f.description' },
    ],
  },
  {
    action: 'templates.create',
    label: 'verb.makeTemplate',
    params: ({ id }) => ({ vm_id: id }),
    reason: stopped,
    confirm: () => t('confirmTemplate'),
  },
  {
    action: 'templates.delete',
    label: 'verb.unmakeTemplate',
    params: ({ id }) => ({ id }),
    reason: ({ template }) => (template ? undefined : t('noTemplate')),
  },
  {
    action: 'vms.delete',
    label: 'verb.delete',
    params: ({ id }) => ({ id }),
    reason: (vm) => (vm.protected ? t('isProtected') : vm.status === 'stopped' ? undefined : t('mustBeStopped')),
    isDanger: true,
    typed: ({ name }) => name,
    confirm: ({ name }) => t('confirmDeleteVm', { name }),
    fields: () => [{ name: 'purge', label: 'f.purge' }],
  },
]
