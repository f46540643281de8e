import type { Pool } from '#shared/contracts/storage/pools.ts'
import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import type { ResultOf } from '../../api/contracts.ts'
import { asRefusal, type Refusal } from '../../api/refusal.ts'
import { may } from '../../api/session.ts'
import { run } from '../../forms/run.ts'
import { useQuery } from '../../live/cache.ts'
import { Button } from '../../widgets/button.tsx'
import { Empty, Loaded, Problem } from '../../widgets/states.tsx'
import { bytes } from '../../words/format.ts'
import { t, type Word } from '../../words/words.ts'
import './words.ts'

type Found = ResultOf<'pools.orphans'>

function Part({ title, hint, rows }: { title: Word; hint: Word; rows: [name: string, more: ComponentChildren][] }) {
  if (rows.length === 0) return null
  return (
    <section>
      <h3>
        {t(title)} <span class="tag num">{rows.length}</span>
      </h3>
      <p class="dim">{t(hint)}</p>
      <ul class="plain">
        {rows.map(([name, more]) => (
          <li key={name}>
            <b class="mono">{name}</b> <span class="dim">{more}</span>
          </li>
        ))}
      </ul>
    </section>
  )
}

const isNothing = ({ images, volumes, others }: Found) => images.length + volumes.length + others.length === 0

/** Images without a record, volumes without an image, and what can be neither. Only a scan changes something. */
export function Orphans({ pool, onClose }: { pool: Pool; onClose: () => void }) {
  const { id } = pool
  const found = useQuery('pools.orphans', { id })
  const [error, setError] = useState<Refusal>()
  const scan = async () => {
    try {
      await run('volumes.scan', { id })
      onClose()
    } catch (thrown) {
      setError(asRefusal(thrown))
    }
  }
  return (
    <Loaded of={found}>
      {(of) => (
        <div class="form">
          {error && <Problem error={error} />}
          {isNothing(of) && <Empty title={t('noOrphans')} />}
          <Part
            title="orphanImages"
            hint="hint.orphanImages"
            rows={of.images.map(({ name, format, size_bytes }) => [name, `${format}, ${bytes(size_bytes)}`])}
          />
          <Part
            title="orphanVolumes"
            hint="hint.orphanVolumes"
            rows={of.volumes.map(({ name, used_by }) => [name, used_by ?? t('unused')])}
          />
          <Part
            title="orphanOthers"
            hint="hint.orphanOthers"
            rows={of.others.map(({ name, reason }) => [name, reason])}
          />
          <footer>
            <Button onClick={onClose}>{t('close')}</Button>
            {of.images.length > 0 && may('volumes.scan', { id }) && (
              <Button kind="main" onClick={() => void scan()}>
                {t('takeOrphans')}
              </Button>
            )}
          </footer>
        </div>
      )}
    </Loaded>
  )
}
