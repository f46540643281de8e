import type { NetworkPolicy } from '#shared/contracts/container/network-policies.ts'
import { useEffect, useState } from 'preact/hooks'
import { call } from '../../api/client.ts'
import type { ResultOf } from '../../api/contracts.ts'
import { asRefusal, type Refusal } from '../../api/refusal.ts'
import { run } from '../../forms/run.ts'
import { Button } from '../../widgets/button.tsx'
import { Dialog } from '../../widgets/dialog.tsx'
import { Problem } from '../../widgets/states.tsx'
import { toast } from '../../widgets/toasts.tsx'
import { t } from '../../words/words.ts'

const example = {
  id: 'db',
  description: '',
  resource_pool: null,
  pod_selector: { match_labels: { app: 'db' } },
  ingress: [{ from: [{ pod_selector: { match_labels: { app: 'web' } } }], ports: [{ port: 5432 }] }],
}
const confirmSeconds = 60

/** The policy without what the server adds. */
const given = ({
  selects: _s,
  enforced: _e,
  gaps: _g,
  created_at: _c,
  updated_at: _u,
  version: _v,
  ...policy
}: NetworkPolicy) => policy

/** A policy as JSON, with a preview of the flows that change. Applying it undoes itself unless the page confirms. */
export function PolicyEditor({ policy, onClose }: { policy: NetworkPolicy | null; onClose: () => void }) {
  const [text, setText] = useState(() => JSON.stringify(policy ? given(policy) : example, null, 2))
  const [preview, setPreview] = useState<ResultOf<'network-policies.preview'>>()
  const [error, setError] = useState<Refusal>()
  const [applied, setApplied] = useState<{ id: string; left: number }>()
  useEffect(() => {
    if (!applied) return undefined
    if (applied.left <= 0) {
      toast('bad', t('policyUndone'))
      onClose()
      return undefined
    }
    const timer = setTimeout(() => setApplied({ ...applied, left: applied.left - 1 }), 1000)
    return () => clearTimeout(timer)
  }, [applied])
  const attempt = async (work: (policies: object[]) => Promise<void>) => {
    setError(undefined)
    try {
      await work([JSON.parse(text) as object])
    } catch (thrown) {
      setError(asRefusal(thrown))
    }
  }
  const look = () =>
    attempt(async (policies) => setPreview((await call('network-policies.preview', { policies } as never)).data))
  const apply = () =>
    attempt(async (policies) => {
      const { id } = await run('network-policies.apply', { policies, confirm_within: confirmSeconds } as never)
      setApplied({ id, left: confirmSeconds })
    })
  const confirm = () =>
    attempt(async () => {
      await run('network-policies.confirm', { id: applied!.id })
      toast('good', t('policyConfirmed'))
      onClose()
    })
  const flows = (list: { from: string; to: string; protocol: string; port: number | null }[]) => (
    <ul>
      {list.slice(0, 30).map((flow, index) => (
        <li key={index} class="mono">{`${flow.from} → ${flow.to} ${flow.protocol} ${flow.port ?? ''}`}</li>
      ))}
    </ul>
  )
  return (
    <Dialog title={policy?.id ?? t('createPolicy')} shape="wide" onClose={onClose}>
      <div class="form">
        {error && <Problem error={error} />}
        {applied ? (
          <>
            <p class="note" role="alert">
              {t('policyPending', { seconds: applied.left })}
            </p>
            <footer>
              <Button kind="main" onClick={confirm}>
                {t('keepPolicy')}
              </Button>
            </footer>
          </>
        ) : (
          <>
            <label class="field">
              <span>{t('f.policy')}</span>
              <textarea
                rows={18}
                spellcheck={false}
                value={text}
                onInput={({ currentTarget }) => setText(currentTarget.value)}
              />
              <small>{t('hint.policy')}</small>
            </label>
            {preview && (
              <div role="status">
                <h3>{t('policyCut', { count: preview.cut.length })}</h3>
                {flows(preview.cut)}
                <h3>{t('policyOpened', { count: preview.opened.length })}</h3>
                {flows(preview.opened)}
                {preview.gaps.map(({ reason, resource }) => (
                  <p key={resource} class="note">
                    {resource}: {reason}
                  </p>
                ))}
              </div>
            )}
            <footer>
              <Button onClick={onClose}>{t('cancel')}</Button>
              <Button onClick={look}>{t('preview')}</Button>
              <Button kind="main" onClick={apply}>
                {t('apply')}
              </Button>
            </footer>
          </>
        )}
      </div>
    </Dialog>
  )
}
