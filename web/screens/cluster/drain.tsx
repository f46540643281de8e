import type { DrainPlan } from '#shared/contracts/cluster/drains.ts'
import type { Node } from '#shared/contracts/cluster/nodes.ts'
import { useState } from 'preact/hooks'
import { call } from '../../api/client.ts'
import { asRefusal, type Refusal } from '../../api/refusal.ts'
import { may } from '../../api/session.ts'
import { type Verb, VerbDialog } from '../../forms/verbs.tsx'
import { useQuery } from '../../live/cache.ts'
import { Button } from '../../widgets/button.tsx'
import { Card } from '../../widgets/layout.tsx'
import { Problem } from '../../widgets/states.tsx'
import { Status } from '../../widgets/status.tsx'
import { mib, seconds } from '../../words/format.ts'
import { t, type Word } from '../../words/words.ts'

/** Names of virtual machines and nodes, for plans that name them by id. */
export function useNames(): (id: string) => string {
  const vms = useQuery('vms.list', { limit: 1000 })
  const nodes = useQuery('nodes.list', { limit: 1000 })
  const names = new Map([...(vms.data?.data ?? []), ...(nodes.data?.data ?? [])].map(({ id, name }) => [id, name]))
  return (id) => names.get(id) ?? id
}

const told: Record<DrainPlan['status'], Word> = {
  possible: 'drainPossible',
  impossible: 'drainImpossible',
  unknown: 'drainUnknown',
}

/** Sets of constraints that cannot all hold, each with what would free it. */
export function Conflicts({ of }: { of: DrainPlan['conflicts'] }) {
  return (
    <>
      {of.map(({ constraints, remedies }, index) => (
        <div key={index}>
          <h3>{t('drainConflicts')}</h3>
          <ul>
            {constraints.map(({ kind, subject, text }) => (
              <li key={`${kind} ${subject} ${text}`}>{text}</li>
            ))}
          </ul>
          {remedies.length > 0 && (
            <>
              <h3>{t('drainFrees')}</h3>
              <ul>
                {remedies.map((remedy) => (
                  <li key={remedy}>{remedy}</li>
                ))}
              </ul>
            </>
          )}
        </div>
      ))}
    </>
  )
}

function Plan({ plan }: { plan: DrainPlan }) {
  const nameOf = useNames()
  return (
    <>
      <p class="row">
        <Status value={plan.status} /> {t(told[plan.status], { time: seconds(plan.at_least_seconds) })}
      </p>
      {plan.status === 'possible' && plan.moves.length === 0 && <p>{t('drainNothing')}</p>}
      {plan.moves.length > 0 && (
        <>
          <h3>{t('drainMoves')}</h3>
          <ol>
            {plan.moves.map(({ vm_id, to, memory_mib, at_least_seconds }) => (
              <li key={vm_id}>
                <b>{nameOf(vm_id)}</b> → {nameOf(to)} ({mib(memory_mib)}, {t('f.atLeast')} {seconds(at_least_seconds)})
              </li>
            ))}
          </ol>
          <h3>{t('drainPeaks')}</h3>
          <ul>
            {plan.peaks.map((peak) => (
              <li key={peak.node}>
                <b>{nameOf(peak.node)}</b> {t('f.peakMemory')} {mib(peak.memory_mib)} / {mib(peak.of_memory_mib)},{' '}
                {t('f.cpus')} {peak.vcpus} / {peak.of_vcpus}
              </li>
            ))}
          </ul>
        </>
      )}
      <Conflicts of={plan.conflicts} />
      {plan.stays.length > 0 && (
        <>
          <h3>{t('drainStays')}</h3>
          <ul>
            {plan.stays.map(({ vm_id, reason }) => (
              <li key={vm_id}>
                <b>{nameOf(vm_id)}</b> {reason}
              </li>
            ))}
          </ul>
        </>
      )}
    </>
  )
}

const drain: Verb<Node> = {
  action: 'drains.drain',
  label: 'verb.drain',
  params: ({ id }) => ({ id }),
  initial: () => ({ maintenance: true, stopped: 'stay' }),
  fields: () => [
    { name: 'maintenance', label: 'verb.maintain' },
    {
      name: 'stopped',
      label: 'f.stoppedGuests',
      kind: 'select',
      options: [
        ['stay', t('stopped.stay')],
        ['move', t('stopped.move')],
      ],
    },
    { name: 'bandwidth_limit', label: 'f.bandwidth', hint: 'hint.bandwidth' },
  ],
  confirm: ({ name }) => t('confirmMaintain', { name }),
}

const restore: Verb<Node> = {
  action: 'drains.restore',
  label: 'verb.undrain',
  params: ({ id }) => ({ id }),
  initial: () => ({ end_maintenance: true }),
  fields: () => [
    { name: 'end_maintenance', label: 'f.endMaintenance' },
    { name: 'bandwidth_limit', label: 'f.bandwidth', hint: 'hint.bandwidth' },
  ],
  confirm: ({ name }) => t('confirmUndrain', { name }),
}

/** Empties a node, or brings its guests back: the plan first. */
export function Drain({ node }: { node: Node }) {
  const [plan, setPlan] = useState<DrainPlan>()
  const [error, setError] = useState<Refusal>()
  const [isBusy, setBusy] = useState(false)
  const [open, setOpen] = useState<Verb<Node>>()
  if (!may('drains.drain', { id: node.id })) return null
  const read = async () => {
    setBusy(true)
    setError(undefined)
    try {
      const { data } = await call('drains.drain', { id: node.id, plan: true })
      // With `plan` the answer is the plan of the contract, not an operation.
      setPlan(data as unknown as DrainPlan)
    } catch (thrown) {
      setError(asRefusal(thrown))
    }
    setBusy(false)
  }
  return (
    <Card
      title={t('tab.drain')}
      actions={
        <>
          <Button onClick={read} isBusy={isBusy}>
            {t('drainPlan')}
          </Button>
          <Button onClick={() => setOpen(drain)}>{t('verb.drain')}</Button>
          <Button onClick={() => setOpen(restore)}>{t('verb.undrain')}</Button>
        </>
      }
    >
      {error && <Problem error={error} onRetry={read} />}
      {plan && <Plan plan={plan} />}
      {open && <VerbDialog verb={open} item={node} name={node.name} onClose={() => setOpen(undefined)} />}
    </Card>
  )
}
