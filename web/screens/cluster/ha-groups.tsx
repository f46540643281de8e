import type { HaGroup } from '#shared/contracts/cluster/ha.ts'
import { usualRules } from '#shared/contracts/cluster/usual-ha-rules.ts'
import type { Verb } from '../../forms/verbs.tsx'
import { ListScreen } from '../../lists/list-screen.tsx'
import type { Column } from '../../widgets/column.ts'
import { seconds } from '../../words/format.ts'
import { t } from '../../words/words.ts'

type Member = HaGroup['nodes'][number]

/** Nodes with their priorities as words of a form field: `n1:10 n2`. */
const wordsOf = (nodes: Member[]) => nodes.map(({ node, priority }) => (priority === 0 ? node : `${node}:${priority}`))

function membersOf(words: string[]): Member[] {
  return words.map((word) => {
    const [node = '', priority = '0'] = word.split(':')
    return { node, priority: Number(priority) }
  })
}

const columns: Column<HaGroup>[] = [
  { key: 'name', head: 'f.name', cell: ({ name }) => name, value: ({ name }) => name },
  {
    key: 'nodes',
    head: 'nav.nodes',
    cell: ({ nodes, restricted }) =>
      nodes.length === 0 ? t('everyNode') : `${wordsOf(nodes).join(' ')}${restricted ? ` (${t('f.restricted')})` : ''}`,
  },
  {
    key: 'automatic',
    head: 'f.automatic',
    cell: ({ automatic, least_proof }) => (automatic ? t(`leastProof.${least_proof}`) : t('byHand')),
    drop: 1,
  },
  {
    key: 'budget',
    head: 'f.budget',
    cell: ({ max_restarts, max_relocations }) => `${max_restarts} / ${max_relocations}`,
    isNumeric: true,
    drop: 2,
  },
  { key: 'holdOff', head: 'f.holdOff', cell: (group) => seconds(group.hold_off_seconds), isNumeric: true, drop: 2 },
]

const fields: NonNullable<Verb<HaGroup>['fields']> = () => [
  { name: 'name', label: 'f.name', isRequired: true },
  { name: 'nodes', label: 'nav.nodes', kind: 'words', hint: 'hint.haNodes' },
  { name: 'restricted', label: 'f.restricted', hint: 'hint.restricted' },
  { name: 'automatic', label: 'f.automatic', hint: 'hint.automatic' },
  {
    name: 'least_proof',
    label: 'f.leastProof',
    kind: 'select',
    options: [
      ['deadline', t('leastProof.deadline')],
      ['node', t('leastProof.node')],
    ],
  },
  { name: 'max_restarts', label: 'f.maxRestarts' },
  { name: 'max_relocations', label: 'f.maxRelocations' },
  { name: 'stable_seconds', label: 'f.stableSeconds', hint: 'hint.stableSeconds' },
  { name: 'hold_off_seconds', label: 'f.holdOffSeconds', hint: 'hint.holdOff' },
]
const prepare = (params: Record<string, unknown>) => ({
  ...params,
  nodes: membersOf((params['nodes'] ?? []) as string[]),
})

const verbs: readonly Verb<HaGroup>[] = [
  {
    action: 'ha-groups.update',
    label: 'edit',
    params: ({ id }) => ({ id }),
    initial: (group) => ({ ...group, nodes: wordsOf(group.nodes) }),
    fields,
    prepare,
  },
  {
    action: 'ha-groups.delete',
    label: 'verb.delete',
    params: ({ id }) => ({ id }),
    typed: ({ name }) => name,
    confirm: ({ name }) => t('confirmDelete', { name }),
    isDanger: true,
  },
]

/** Groups of VMs under HA: their nodes, budgets, and the evidence that starts a guest elsewhere. */
export const HaGroups = () => (
  <ListScreen
    title="nav.haGroups"
    list="ha-groups.list"
    item="ha-groups.get"
    columns={columns}
    idOf={({ id }) => id}
    nameOf={({ name }) => name}
    words={({ id, name, nodes }) => [id, name, nodes.map(({ node }) => node)]}
    firstSort="name"
    verbs={verbs}
    create={{
      action: 'ha-groups.create',
      label: 'createHaGroup',
      params: () => ({}),
      initial: () => usualRules,
      fields: () => fields(undefined as never),
      prepare,
    }}
    empty="noHaGroups"
    emptyHint="noHaGroupsHint"
  />
)
