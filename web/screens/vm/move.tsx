import type { Node } from '#shared/contracts/cluster/nodes.ts'
import type { MigrationPlan, MigrationType } from '#shared/contracts/migration/migrations.ts'
import type { Pool } from '#shared/contracts/storage/pools.ts'
import type { Vm } from '#shared/contracts/vm/vms.ts'
import { useState } from 'preact/hooks'
import { call } from '../../api/client.ts'
import { type Verb, Verbs } from '../../forms/verbs.tsx'
import { useQuery, useReading } from '../../live/cache.ts'
import { useCollection } from '../../live/collection.ts'
import { Card } from '../../widgets/layout.tsx'
import { Empty, Loaded } from '../../widgets/states.tsx'
import { Status } from '../../widgets/status.tsx'
import { bytes, count, seconds } from '../../words/format.ts'
import { t } from '../../words/words.ts'
import { Migrations } from '../cluster/migrations.tsx'
import { poolsForVolumes } from '../storage/volume-verbs.tsx'

const ways: readonly MigrationType[] = ['live', 'online', 'offline']

/** Every other node with all that keeps the VM from moving there, and the migrations so far. */
export function Move({ vm }: { vm: Vm }) {
  const nodes = useQuery('nodes.list', { limit: 1000 })
  const pools = useCollection('pools.list', {}, 'pools.get').items
  const isOn = vm.status === 'running' || vm.status === 'paused'
  const [chosen, choose] = useState<MigrationType>()
  const way = chosen ?? (isOn ? 'live' : 'offline')
  return (
    <div class="stack">
      <Card
        title={t('migrateTo')}
        actions={
          <label class="row">
            {t('f.migrationType')}
            <select
              value={way}
              onChange={({ currentTarget }) => choose(ways.find((each) => each === currentTarget.value))}
            >
              {ways.map((each) => (
                <option key={each} value={each}>
                  {t(`way.${each}`)}
                </option>
              ))}
            </select>
          </label>
        }
      >
        <Loaded of={nodes}>
          {({ data }) => {
            const others = data.filter(({ id }) => id !== vm.node)
            if (others.length === 0)
              return (
                <Empty title={t('noOtherNode')}>
                  <p>{t('noOtherNodeHint')}</p>
                </Empty>
              )
            return others.map((node) => (
              <Target key={`${node.id} ${way}`} vm={vm} node={node} way={way} pools={pools} />
            ))
          }}
        </Loaded>
      </Card>
      <Card title={t('pastMoves')}>
        <Migrations vm={vm.id} />
      </Card>
    </div>
  )
}

const migrate = (node: Node, way: MigrationType, plan: MigrationPlan, pool: string): Verb<Vm> => ({
  action: 'migrations.start',
  label: 'verb.migrate',
  params: ({ id }) => ({ vm_id: id, target_node: node.id, migration_type: way }),
  reason: () => (plan.is_possible ? undefined : plan.violations.map(({ message }) => message).join('; ')),
  initial: () => ({ target_pool: pool, ...(way === 'live' && { auto_converge: true }) }),
  fields: () => [
    ...(plan.disks.some(({ is_copied }) => is_copied)
      ? [{ name: 'target_pool', label: 'f.targetPool', hint: 'hint.targetPool' } as const]
      : []),
    { name: 'bandwidth_limit', label: 'f.bandwidth', hint: 'hint.bandwidth' },
    ...(way === 'live' ? [{ name: 'auto_converge', label: 'f.autoConverge' } as const] : []),
    ...(way === 'live' && plan.disks.every(({ is_copied }) => !is_copied)
      ? [{ name: 'post_copy', label: 'f.postCopy', hint: 'hint.postCopy' } as const]
      : []),
  ],
  note: () => <Facts plan={plan} />,
})

function Facts({ plan: { bytes_to_copy, forecast, warnings } }: { plan: MigrationPlan }) {
  return (
    <>
      {forecast && (
        <p>
          {t('forecast', {
            time: `${seconds(forecast.seconds.low)} – ${seconds(forecast.seconds.high)}`,
            pause: `${count(forecast.pause_ms.low)} – ${count(forecast.pause_ms.high)} ms`,
            size: bytes(forecast.bytes.median),
          })}{' '}
          <span class="dim">
            {forecast.samples > 0 ? t('forecastFrom', { count: count(forecast.samples) }) : t('forecastIsGuess')}
          </span>
        </p>
      )}
      {bytes_to_copy > 0 && <p>{t('bytesToCopy', { size: bytes(bytes_to_copy) })}</p>}
      {warnings.map((warning) => (
        <p key={warning} class="note">
          {warning}
        </p>
      ))}
    </>
  )
}

function Target({ vm, node, way, pools }: { vm: Vm; node: Node; way: MigrationType; pools: readonly Pool[] }) {
  const [pool, choosePool] = useState('')
  const check = useReading(`check ${vm.id} ${node.id} ${way} ${pool}`, `/api/vms/${vm.id}`, async () => {
    const asked = { vm_id: vm.id, target_node: node.id, migration_type: way, ...(pool && { target_pool: pool }) }
    return (await call('migrations.check', asked)).data
  })
  const there = pools.filter(({ nodes }) => nodes === null || nodes.includes(node.id))
  const isLocal = vm.disks.some((disk) => disk.pool && !there.some(({ id }) => id === disk.pool))
  const usable = poolsForVolumes(there, null)
  return (
    <section class="target" aria-label={node.name}>
      <h3>
        <a href={`/nodes/${node.id}`}>{node.name}</a>
      </h3>
      {isLocal && usable.length > 1 && (
        <label class="row">
          {t('f.targetPool')}
          <select value={pool} onChange={({ currentTarget }) => choosePool(currentTarget.value)}>
            <option value="">{t('automatic')}</option>
            {usable.map((id) => (
              <option key={id} value={id}>
                {id}
              </option>
            ))}
          </select>
        </label>
      )}
      <Loaded of={check} rows={1}>
        {(plan) => (
          <>
            <div class="row">
              <Status value={plan.is_possible ? 'possible' : 'impossible'} />
              {plan.is_possible && (
                <Verbs
                  item={vm}
                  verbs={[migrate(node, way, plan, pool)]}
                  shown={1}
                  label={`${vm.name} → ${node.name}`}
                />
              )}
            </div>
            {plan.violations.length > 0 && (
              <ul>
                {plan.violations.map(({ field, code, message }) => (
                  <li key={`${field} ${code} ${message}`}>{message}</li>
                ))}
              </ul>
            )}
            <Facts plan={plan} />
          </>
        )}
      </Loaded>
    </section>
  )
}
