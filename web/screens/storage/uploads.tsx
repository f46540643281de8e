import { signal } from '@preact/signals'
import { useState } from 'preact/hooks'
import { call, requestOf, send } from '../../api/client.ts'
import { asRefusal } from '../../api/refusal.ts'
import { run } from '../../forms/run.ts'
import { useCollection } from '../../live/collection.ts'
import { Button } from '../../widgets/button.tsx'
import { Card } from '../../widgets/layout.tsx'
import { toast } from '../../widgets/toasts.tsx'
import { bytes } from '../../words/format.ts'
import { t } from '../../words/words.ts'
import './words.ts'

/** The sending of this tab: it goes on while other screens are shown. */
type Sending = { upload: string; name: string; sent: number; size: number; isStopped: boolean }
const sending = signal<ReadonlyMap<string, Sending>>(new Map())
const partBytes = 8 * 1024 * 1024
const retryMs = 2000

const put = (upload: string, change: Partial<Sending> | null) => {
  const next = new Map(sending.value)
  const before = next.get(upload)
  if (change === null) next.delete(upload)
  else if (before) next.set(upload, { ...before, ...change })
  sending.value = next
}

/** Sends a file from the place that the server has reached, part by part, and makes the volume. A cut is tried again. */
async function transfer(pool: string, upload: string, file: File, from: number): Promise<void> {
  const size = file.size
  sending.value = new Map(sending.value).set(upload, { upload, name: file.name, sent: from, size, isStopped: false })
  const { path } = requestOf('uploads.get', { id: pool, upload })
  try {
    for (let offset = from; offset < size;) {
      if (sending.value.get(upload)?.isStopped ?? true) return
      try {
        await send('PATCH', `${path}?offset=${offset}`, file.slice(offset, offset + partBytes))
        offset = Math.min(size, offset + partBytes)
      } catch (error) {
        const refusal = asRefusal(error)
        if (refusal.status !== 409 && !refusal.isRetryable) throw refusal
        await new Promise((resolve) => setTimeout(resolve, retryMs))
        offset = (await call('uploads.get', { id: pool, upload })).data.received_bytes
      }
      put(upload, { sent: offset })
    }
    await run('uploads.complete', { id: pool, upload })
  } catch (error) {
    toast('bad', `${file.name}: ${asRefusal(error).message}`)
  }
  put(upload, null)
}

export function Uploads({ pool }: { pool: string }) {
  const { items } = useCollection('uploads.list', { id: pool })
  const [resumes, setResumes] = useState<string>()
  const begin = async (file: File) => {
    const known = items.find(({ id }) => id === resumes)
    setResumes(undefined)
    try {
      if (known && known.size_bytes !== file.size) throw new Error(t('otherFile', { size: bytes(known.size_bytes) }))
      const name =
        file.name
          .replace(/\.\w+$/, '')
          .replaceAll(/[^A-Za-z0-9._-]/g, '-')
          .replace(/^[^A-Za-z0-9]+/, '') || 'upload'
      const upload = known ?? (await run('uploads.create', { id: pool, name, size: file.size }))
      await transfer(pool, upload.id, file, upload.received_bytes)
    } catch (error) {
      toast('bad', asRefusal(error).message)
    }
  }
  const cancel = async (upload: string) => {
    put(upload, { isStopped: true })
    await run('uploads.delete', { id: pool, upload }).catch((error: unknown) => toast('bad', asRefusal(error).message))
    put(upload, null)
  }
  return (
    <Card title={t('uploads')}>
      <label class="field">
        <span>{resumes ? t('chooseSame') : t('uploadFile')}</span>
        <input
          type="file"
          onChange={({ currentTarget }) => currentTarget.files?.[0] && void begin(currentTarget.files[0])}
        />
        <small>{t('hint.upload')}</small>
      </label>
      {items.map(({ id, name, size_bytes, received_bytes, state }) => {
        const here = sending.value.get(id)
        const sent = here?.sent ?? received_bytes
        return (
          <div key={id} class="op">
            <div class="row num">
              <b class="grow">{name}</b> {bytes(sent)} / {bytes(size_bytes)}
              {!here && state === 'receiving' && <Button onClick={() => setResumes(id)}>{t('goOn')}</Button>}
              {state === 'receiving' && <Button onClick={() => void cancel(id)}>{t('cancel')}</Button>}
            </div>
            <progress max={size_bytes} value={sent} aria-label={name} />
          </div>
        )
      })}
    </Card>
  )
}
