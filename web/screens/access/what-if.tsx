import { useReading } from '../../live/cache.ts'
import { call } from '../../api/client.ts'
import { Loaded } from '../../widgets/states.tsx'
import { t } from '../../words/words.ts'

type Answer = { data: { user?: string; subject?: { id: string }; gains?: unknown[]; loses?: unknown[] }[] }

/** Gains and losses of rights by a change, before it is made. */
export function WhatIf({ changes }: { changes: object[] }) {
  const key = JSON.stringify(changes)
  const read = async () =>
    (await call('permissions.whatIf', { changes } as never)).data as unknown as Answer & Record<string, unknown>
  const shown = useReading(`what-if ${key}`, '/api/permissions', read)
  return (
    <details open>
      <summary>{t('whatIf')}</summary>
      <Loaded of={shown} rows={2}>
        {(answer) => <pre class="log short">{JSON.stringify(answer, null, 1)}</pre>}
      </Loaded>
    </details>
  )
}
