import type { Node } from '#shared/contracts/cluster/nodes.ts'
import type { AdoptionPlan } from '#shared/contracts/vm/vm-adoptions.ts'
import { useEffect, useState } from 'preact/hooks'
import { call } from '../../api/client.ts'
import { asRefusal, type Refusal } from '../../api/refusal.ts'
import { run } from '../../forms/run.ts'
import { Button } from '../../widgets/button.tsx'
import { Empty, Problem } from '../../widgets/states.tsx'
import { Status } from '../../widgets/status.tsx'
import { mib } from '../../words/format.ts'
import { t } from '../../words/words.ts'
import '../import-words.ts'

type Guest = AdoptionPlan['adopts'][number]

function Choice({ guest, isChosen, onToggle }: { guest: Guest; isChosen: boolean; onToggle: () => void }) {
  const { name, domain, status, cpus, memory, disks, notes } = guest
  return (
    <li>
      <label class="check">
        <input type="checkbox" checked={isChosen} onChange={onToggle} />
        <span>
          <b>{domain}</b> {name !== domain && <>→ {name} </>}
          <Status value={status} />{' '}
          <span class="dim">
            {cpus} × CPU, {mib(memory)}, {disks.map(({ id, source }) => `${id} ${source}`).join(', ')}
          </span>
        </span>
      </label>
      {notes.length > 0 && <p class="note">{t('staysAsItIs', { what: notes.join(', ') })}</p>}
    </li>
  )
}

/** The guests of a node that Horcrux does not manage, as the plan of their adoption; those that are chosen are adopted. */
export function AdoptGuests({ node: { id }, onClose }: { node: Node; onClose: () => void }) {
  const [plan, setPlan] = useState<AdoptionPlan>()
  const [left, setLeft] = useState<ReadonlySet<string>>(new Set())
  const [error, setError] = useState<Refusal>()
  const read = async () => {
    setError(undefined)
    try {
      const { data } = await call('vm-adoptions.run', { id, plan: true })
      // With `plan` the answer is the plan of the contract, not an operation.
      setPlan(data as unknown as AdoptionPlan)
    } catch (thrown) {
      setError(asRefusal(thrown))
    }
  }
  useEffect(() => void read(), [id])
  const unread = plan?.unread ?? []
  const chosen = plan?.adopts.filter(({ uuid }) => !left.has(uuid)) ?? []
  const toggle = (uuid: string) => {
    const next = new Set(left)
    if (!next.delete(uuid)) next.add(uuid)
    setLeft(next)
  }
  const adopt = async () => {
    try {
      const read = chosen.map(({ uuid: domain, name }) => ({ domain, name }))
      await run('vm-adoptions.run', { id, domains: [...read, ...unread.map((domain) => ({ domain }))] })
      onClose()
    } catch (thrown) {
      setError(asRefusal(thrown))
    }
  }
  return (
    <div class="form">
      <p class="dim">{t('adoptGuestsHint')}</p>
      {error && <Problem error={error} onRetry={() => void read()} />}
      {!plan && !error && <p aria-busy="true">{t('loading')}</p>}
      {plan && plan.adopts.length + plan.refused.length + unread.length === 0 && <Empty title={t('noGuestsToAdopt')} />}
      {plan && plan.adopts.length > 0 && (
        <ul class="plain">
          {plan.adopts.map((guest) => (
            <Choice
              key={guest.uuid}
              guest={guest}
              isChosen={!left.has(guest.uuid)}
              onToggle={() => toggle(guest.uuid)}
            />
          ))}
        </ul>
      )}
      {unread.length > 0 && <p class="note">{t('adoptUnread', { count: unread.length })}</p>}
      {plan && plan.refused.length > 0 && (
        <section>
          <h3>{t('adoptRefused')}</h3>
          <ul class="plain">
            {plan.refused.map(({ uuid, domain, reasons }) => (
              <li key={uuid}>
                <b>{domain}</b> <span class="dim">{reasons.map(({ message }) => message).join('; ')}</span>
              </li>
            ))}
          </ul>
        </section>
      )}
      <footer>
        <Button onClick={onClose}>{t('close')}</Button>
        {chosen.length + unread.length > 0 && (
          <Button kind="main" onClick={() => void adopt()}>
            {t('adoptChosen', { count: chosen.length + unread.length })}
          </Button>
        )}
      </footer>
    </div>
  )
}
