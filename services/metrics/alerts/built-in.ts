import type { Condition, Rule } from '#shared/contracts/metrics/alert-parts.ts'
import { ConflictError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { ruleRecords } from './models.ts'

type Given = Pick<Rule, 'name' | 'description' | 'severity' | 'for' | 'keep_firing_for' | 'missing'> & {
  condition: Condition
}

const rule = (
  name: string,
  severity: Rule['severity'],
  description: string,
  condition: Condition,
  patience: Partial<Pick<Rule, 'for' | 'keep_firing_for' | 'missing'>> = {},
): Given => ({ name, severity, description, condition, for: 300, keep_firing_for: 60, missing: 'keep', ...patience })

const dayS = 86_400

/** The rules that every Horcrux has. They can be changed and switched off. */
export const builtInRules: readonly Given[] = [
  rule(
    'node_down',
    'critical',
    'A node does not answer',
    { kind: 'threshold', of: 'nodes', metric: 'up', below: 1 },
    { for: 30, keep_firing_for: 15 },
  ),
  rule(
    'node_unmeasured',
    'warning',
    'No sample of a node arrives',
    {
      kind: 'absence',
      of: 'nodes',
      metric: 'up',
      after: 120,
    },
    { for: 0 },
  ),
  rule('node_disk_full', 'critical', 'The file system of a node has little space left', {
    kind: 'threshold',
    of: 'nodes',
    metric: 'filesystem_percent',
    above: 95,
    clear: 93,
  }),
  rule(
    'node_disk_filling',
    'warning',
    'The file system of a node will be full within three days',
    {
      kind: 'forecast',
      of: 'nodes',
      metric: 'filesystem_percent',
      over: 6 * 3600,
      within: 3 * dayS,
      above: 100,
    },
    { for: 1800, keep_firing_for: 1800 },
  ),
  rule('node_memory', 'warning', 'The memory of a node is nearly used up', {
    kind: 'threshold',
    of: 'nodes',
    metric: 'memory_percent',
    above: 95,
    clear: 90,
  }),
  rule(
    'node_cpu',
    'warning',
    'The processors of a node are in full use',
    {
      kind: 'threshold',
      of: 'nodes',
      metric: 'cpu_percent',
      above: 95,
      clear: 85,
    },
    { for: 900 },
  ),
  rule(
    'node_clock_ahead',
    'warning',
    'The clock of a node is ahead of that of Horcrux',
    {
      kind: 'threshold',
      of: 'nodes',
      metric: 'clock_skew_seconds',
      above: 1,
    },
    { for: 60 },
  ),
  rule(
    'node_clock_behind',
    'warning',
    'The clock of a node is behind that of Horcrux',
    {
      kind: 'threshold',
      of: 'nodes',
      metric: 'clock_skew_seconds',
      below: -1,
    },
    { for: 60 },
  ),
  rule('vm_memory', 'info', 'A guest says that its memory is nearly used up', {
    kind: 'threshold',
    of: 'vms',
    metric: 'memory_percent',
    above: 95,
    clear: 90,
  }),
  rule('container_memory', 'warning', 'The memory of a container is nearly used up', {
    kind: 'threshold',
    of: 'containers',
    metric: 'memory_percent',
    above: 95,
    clear: 90,
  }),
  rule('container_oom', 'warning', 'Processes of a container were killed for lack of memory', {
    kind: 'threshold',
    of: 'containers',
    metric: 'oom_kills_per_second',
    above: 0,
  }),
  rule(
    'operation_failed',
    'warning',
    'An operation has failed within the last ten minutes',
    {
      kind: 'check',
      check: 'failed_operations',
      above: 0,
    },
    { for: 0 },
  ),
  rule(
    'snapshot_quota',
    'warning',
    'A quota of snapshots has reached its warning threshold',
    {
      kind: 'check',
      check: 'snapshot_quotas',
      above: 0,
    },
    { for: 0 },
  ),
  rule(
    'backup_overdue',
    'warning',
    'The newest backup of a virtual machine is older than its job asks',
    {
      kind: 'check',
      check: 'overdue_backups',
      above: 0,
    },
    { for: 0 },
  ),
  rule(
    'replication_overdue',
    'warning',
    'The newest point of a replica is older than its job asks',
    {
      kind: 'check',
      check: 'overdue_replicas',
      above: 0,
    },
    { for: 0 },
  ),
  rule(
    'policy_not_enforced',
    'warning',
    'A network policy does not hold for a container or VM that it selects',
    {
      kind: 'check',
      check: 'unenforced_policies',
      above: 0,
    },
    { for: 60 },
  ),
  rule(
    'backup_unproven',
    'warning',
    'The newest verification of a backup of a virtual machine has failed, or is older than its job asks',
    {
      kind: 'check',
      check: 'unproven_backups',
      above: 0,
    },
    { for: 0 },
  ),
  rule(
    'certificate_ends',
    'warning',
    'The TLS certificate of the gateway ends within two weeks',
    {
      kind: 'check',
      check: 'certificate_days',
      below: 14,
    },
    { for: 0 },
  ),
  rule(
    'audit_broken',
    'critical',
    'The chain of audit records is not complete and unchanged',
    {
      kind: 'check',
      check: 'audit_intact',
      below: 1,
    },
    { for: 0 },
  ),
]

const idOf = (name: string) => `builtin-${name.replaceAll('_', '-')}`

/** Adds the built-in rules that are not there. */
export async function addBuiltInRules(): Promise<void> {
  const known = new Set((await ruleRecords.all({ built_in: true })).map(({ id }) => id))
  const scope = { nodes: [], tags: [], resource_pools: [] }
  const times = { created_at: now(), updated_at: now() }
  for (const given of builtInRules) {
    if (known.has(idOf(given.name))) continue
    const made = { id: idOf(given.name), ...given, scope, enabled: true, built_in: true, ...times }
    await ruleRecords.insert(made).catch((error: unknown) => {
      // Another replica was faster, or a person has a rule of this name.
      if (!(error instanceof ConflictError)) throw error
    })
  }
}
