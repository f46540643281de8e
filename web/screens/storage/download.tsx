import { useState } from 'preact/hooks'
import { requestOf } from '../../api/client.ts'
import { download } from '../../api/download.ts'
import { asRefusal, type Refusal } from '../../api/refusal.ts'
import { Button } from '../../widgets/button.tsx'
import { Problem } from '../../widgets/states.tsx'
import { t } from '../../words/words.ts'
import './words.ts'

type Of = { pool: string; volume: string }
type Props = {
  /** The volumes of which one is chosen. */ volumes: readonly Of[]
  snapshot?: string
  onClose: () => void
}

/** The form of a download: the volume where there are several, and the format of the file. */
export function Download({ volumes, snapshot, onClose }: Props) {
  const [chosen, choose] = useState(0)
  const [format, setFormat] = useState<'raw' | 'qcow2'>('qcow2')
  const [isBusy, setBusy] = useState(false)
  const [error, setError] = useState<Refusal>()
  const start = async (event: Event) => {
    event.preventDefault()
    const of = volumes[chosen]
    if (!of || isBusy) return
    setBusy(true)
    try {
      await download(requestOf('volume-downloads.open', { id: of.pool, volume: of.volume, format, snapshot }).url)
      onClose()
    } catch (thrown) {
      setError(asRefusal(thrown))
      setBusy(false)
    }
  }
  return (
    <form class="form" onSubmit={start}>
      {error && <Problem error={error} />}
      {volumes.length > 1 && (
        <label class="field">
          <span>{t('f.volume')}</span>
          <select value={chosen} onChange={({ currentTarget }) => choose(Number(currentTarget.value))}>
            {volumes.map(({ pool, volume }, index) => (
              <option key={`${pool}/${volume}`} value={index}>{`${pool}/${volume}`}</option>
            ))}
          </select>
        </label>
      )}
      <label class="field">
        <span>{t('f.format')}</span>
        <select
          name="format"
          value={format}
          onChange={({ currentTarget }) => setFormat(currentTarget.value === 'raw' ? 'raw' : 'qcow2')}
        >
          <option value="qcow2">qcow2</option>
          <option value="raw">raw</option>
        </select>
        <small>{t(format === 'raw' ? 'hint.downloadRaw' : 'hint.downloadQcow2')}</small>
      </label>
      <footer>
        <Button onClick={onClose}>{t('cancel')}</Button>
        <Button type="submit" kind="main" isBusy={isBusy}>
          {t('verb.download')}
        </Button>
      </footer>
    </form>
  )
}
