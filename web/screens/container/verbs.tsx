import { enums } from 'virtual:forms'
import { containerPowerStates } from '#shared/contracts/power-states.ts'
import type { Container } from '#shared/contracts/container/containers.ts'
import { type Verb, wrongStatus } from '../../forms/verbs.tsx'
import { t } from '../../words/words.ts'
import { backUp } from './back-up.ts'

type PowerVerb = keyof typeof containerPowerStates

const power = (verb: PowerVerb, more: Partial<Verb<Container>> = {}): Verb<Container> => ({
  action: `containers.${verb}`,
  label: `verb.${verb}`,
  params: ({ id }) => ({ id }),
  reason: ({ status, managed }) => (managed ? wrongStatus(containerPowerStates, verb, status) : t('notManaged')),
  ...more,
})

export const containerVerbs: readonly Verb<Container>[] = [
  power('start'),
  power('stop', { label: 'verb.stopContainer' }),
  power('restart'),
  power('pause'),
  // A container that runs has nothing to resume, though the service allows it.
  power('resume', {
    reason: ({ status }) => (status === 'paused' ? undefined : wrongStatus({ resume: ['paused'] }, 'resume', status)),
  }),
  {
    action: 'containers.update',
    label: 'verb.limits',
    params: ({ id }) => ({ id }),
    reason: ({ managed }) => (managed ? undefined : t('notManaged')),
    initial: (container) => container,
    fields: () => [
      { name: 'memory', label: 'f.memory', isNullable: true, hint: 'hint.noLimit' },
      { name: 'cpus', label: 'f.cpus', isNullable: true, hint: 'hint.noLimit' },
      { name: 'pids', label: 'f.pids', isNullable: true, hint: 'hint.noLimit' },
    ],
  },
  backUp,
  {
    action: 'containers.adopt',
    label: 'verb.adopt',
    params: ({ id }) => ({ id }),
    reason: ({ managed }) => (managed ? t('isManaged') : undefined),
    confirm: ({ name }) => t('confirmAdopt', { name }),
  },
  {
    action: 'containers.delete',
    label: 'verb.delete',
    params: ({ id }) => ({ id }),
    reason: ({ managed }) => (managed ? undefined : t('notManaged')),
    isDanger: true,
    typed: ({ name }) => name,
    confirm: ({ name }) => t('confirmDelete', { name }),
    fields: () => [
      { name: 'force', label: 'f.forceStop' },
      { name: 'volumes', label: 'f.withVolumes' },
    ],
  },
]

export const createContainer: Verb<null> = {
  action: 'containers.create',
  label: 'createContainer',
  params: () => ({}),
  initial: () => ({ runtime: enums.runtime[0], node: 'local', restart_policy: 'unless-stopped', start: true }),
  fields: () => [
    { name: 'name', label: 'f.name', isRequired: true },
    { name: 'runtime', label: 'f.runtime', kind: 'select', options: enums.runtime },
    { name: 'node', label: 'f.node', isRequired: true },
    { name: 'image', label: 'f.containerImage', hint: 'hint.containerImage' },
    { name: 'rootfs', label: 'f.rootfs', hint: 'hint.rootfs' },
    { name: 'command', label: 'f.command', kind: 'lines', hint: 'hint.command' },
    { name: 'env', label: 'f.env', kind: 'json', hint: 'hint.env' },
    { name: 'memory', label: 'f.memory', hint: 'hint.noLimit' },
    { name: 'cpus', label: 'f.cpus', hint: 'hint.noLimit' },
    { name: 'ports', label: 'f.ports', kind: 'json', hint: 'hint.ports' },
    { name: 'restart_policy', label: 'f.restartPolicy', kind: 'select', options: enums.restart_policy },
    { name: 'resource_pool', label: 'f.resourcePool' },
    { name: 'start', label: 'f.startAfter' },
  ],
  prepare: (params) => ({
    ...params,
    command: (params['command'] as unknown[] | undefined)?.length ? params['command'] : undefined,
  }),
}
