import type { Snapshot, TreeNode } from '#shared/contracts/vm/snapshots.ts'
import type { Vm } from '#shared/contracts/vm/vms.ts'
import { useState } from 'preact/hooks'
import { may } from '../../api/session.ts'
import { type Verb, VerbDialog, Verbs } from '../../forms/verbs.tsx'
import { useQuery } from '../../live/cache.ts'
import { Button } from '../../widgets/button.tsx'
import { Card } from '../../widgets/layout.tsx'
import { Empty, Loaded } from '../../widgets/states.tsx'
import { Status } from '../../widgets/status.tsx'
import { ago, bytes } from '../../words/format.ts'
import { t, told } from '../../words/words.ts'
import { Download } from '../storage/download.tsx'

export function Snapshots({ vm }: { vm: Vm }) {
  const { id } = vm
  const tree = useQuery('snapshots.tree', { id })
  const details = useQuery('snapshots.list', { id, limit: 1000 })
  const [isCreating, setCreating] = useState(false)
  const create: Verb<Vm> = {
    action: 'snapshots.create',
    label: 'verb.snapshot',
    params: () => ({ id }),
    fields: () => [
      { name: 'name', label: 'f.name', isRequired: true },
      { name: 'description', label: 'f.description', kind: 'area' },
      ...(vm.status === 'running' ? [{ name: 'include_memory', label: 'f.includeMemory' } as const] : []),
    ],
  }
  const undo: Verb<Vm> = {
    action: 'snapshots.undoRestore',
    label: 'verb.undoRestore',
    params: () => ({ id }),
    confirm: () => t('confirmUndo'),
  }
  const ofSnapshot = (snapshot_id: string) => details.data?.data.find((each) => each.id === snapshot_id)
  const disksOf = (node: TreeNode) => ofSnapshot(node.id)?.disks ?? []
  const verbs: Verb<TreeNode>[] = [
    {
      action: 'snapshots.restore',
      label: 'verb.restore',
      params: (node) => ({ id, snapshot_id: node.id }),
      reason: () => (vm.status === 'stopped' ? undefined : t('mustBeStopped')),
      fields: (node) =>
        ofSnapshot(node.id)?.consistency === 'memory' ? [{ name: 'restore_memory', label: 'f.restoreMemory' }] : [],
      confirm: (node) => t('confirmRestore', { name: node.name }),
    },
    {
      action: 'volume-downloads.open',
      label: 'verb.downloadDisk',
      params: (node) => ({ id: disksOf(node)[0]?.pool }),
      reason: (node) => (disksOf(node).length > 0 ? undefined : t('noDisks')),
      view: (node, onClose) => <Download volumes={disksOf(node)} snapshot={node.id} onClose={onClose} />,
    },
    {
      action: 'snapshots.delete',
      label: 'verb.delete',
      params: (node) => ({ id, snapshot_id: node.id }),
      reason: ({ deletion }) => deletion.obstacles[0],
      confirm: ({ name, deletion }) => t('confirmDeleteSnapshot', { name, bytes: bytes(deletion.bytes) }),
      isDanger: true,
    },
  ]
  return (
    <Card
      title={t('tab.snapshots')}
      actions={
        <>
          {tree.data?.can_undo_restore && <Verbs item={vm} verbs={[undo]} shown={1} label={vm.name} />}
          {may('snapshots.create', { id }) && (
            <Button kind="main" icon="plus" onClick={() => setCreating(true)}>
              {t('verb.snapshot')}
            </Button>
          )}
        </>
      }
    >
      <Loaded of={tree}>
        {({ data }) =>
          data.length === 0 ? (
            <Empty title={t('noSnapshots')}>
              <p>{t('noSnapshotsHint')}</p>
            </Empty>
          ) : (
            <Branch
              nodes={data.filter(({ parent_id }) => !data.some((each) => each.id === parent_id))}
              all={data}
              verbs={verbs}
              ofSnapshot={ofSnapshot}
            />
          )
        }
      </Loaded>
      {isCreating && <VerbDialog verb={create} item={vm} name={vm.name} onClose={() => setCreating(false)} />}
    </Card>
  )
}

type Details = Pick<Snapshot, 'consistency' | 'size_bytes' | 'description'> | undefined
type BranchProps = { nodes: TreeNode[]; all: TreeNode[]; verbs: Verb<TreeNode>[]; ofSnapshot: (id: string) => Details }

function Branch({ nodes, all, verbs, ofSnapshot }: BranchProps) {
  return (
    <ul class="tree">
      {nodes.map((node) => {
        const details = ofSnapshot(node.id)
        return (
          <li key={node.id}>
            <div>
              <b>{node.name}</b>
              {node.state !== 'ready' && <Status value={node.state} />}
              {details?.consistency && <span class="tag">{told('consistency', details.consistency)}</span>}
              <span class="dim num grow">
                <time dateTime={node.created_at}>{ago(node.created_at)}</time> · {bytes(details?.size_bytes)}{' '}
                {details?.description}
              </span>
              {node.is_current && <span class="tag">{t('youAreHere')}</span>}
              <Verbs item={node} verbs={verbs} label={node.name} />
            </div>
            {node.children.length > 0 && (
              <Branch
                nodes={all.filter(({ id }) => node.children.includes(id))}
                all={all}
                verbs={verbs}
                ofSnapshot={ofSnapshot}
              />
            )}
          </li>
        )
      })}
    </ul>
  )
}
