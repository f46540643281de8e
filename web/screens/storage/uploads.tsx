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
import { ImportVm, type Package } from './import-vm.tsx'
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

/** Sends a file from the place that the server has reached, part by part. A cut is tried again. @returns whether all arrived */
async function transfer(pool: string, upload: string, file: File, from: number): Promise<boolean> {
  const size = file.size
  sending.value = new Map(sending.value).set(upload, { upload, name: file.name, sent: from, size, isStopped: false })
  const { path } = requestOf('uploads.get', { id: pool, upload })
  try {
    for (let offset = from; offset < size;) {
      if (sending.value.get(upload)?.isStopped ?? true) return false
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
    return true
  } catch (error) {
    toast('bad', `${file.name}: ${asRefusal(error).message}`)
    return false
  } finally {
    put(upload, null)
  }
}

const told = (error: unknown) => toast('bad', asRefusal(error).message)
const isDescriptor = ({ name }: File) => /\.ov[af]$/i.test(name)

/** The name of an upload by that of a file; a volume gets it without the ending. */
const nameOf = (name: string) => name.replaceAll(/[^A-Za-z0-9._-]/g, '-').replace(/^[^A-Za-z0-9]+/, '') || 'upload'

export function Uploads({ pool }: { pool: string }) {
  const { items } = useCollection('uploads.list', { id: pool })
  const [resumes, setResumes] = useState<string>()
  const [imported, setImported] = useState<Package>()
  /** Sends a file. @returns its upload; null when it has not arrived whole */
  const sendOne = async (file: File, name: string): Promise<string | null> => {
    const known = items.find(({ id }) => id === resumes)
    setResumes(undefined)
    if (known && known.size_bytes !== file.size) throw new Error(t('otherFile', { size: bytes(known.size_bytes) }))
    const { id, received_bytes } = known ?? (await run('uploads.create', { id: pool, name, size: file.size }))
    return (await transfer(pool, id, file, received_bytes)) ? id : null
  }
  const complete = (upload: string) => run('uploads.complete', { id: pool, upload })
  const begin = async (files: File[]) => {
    try {
      const main = files.find(isDescriptor)
      const others: Package['files'] = []
      for (const file of files) {
        if (file === main) continue
        const upload = await sendOne(file, nameOf(main ? file.name : file.name.replace(/\.\w+$/, '')))
        if (upload === null) return
        if (main) others.push({ name: file.name, upload })
        else await complete(upload)
      }
      const upload = main ? await sendOne(main, nameOf(main.name)) : null
      if (main && upload !== null) setImported({ upload, name: main.name, files: others })
    } catch (error) {
      told(error)
    }
  }
  const cancel = async (upload: string) => {
    put(upload, { isStopped: true })
    await run('uploads.delete', { id: pool, upload }).catch(told)
    put(upload, null)
  }
  return (
    <Card title={t('uploads')}>
      <label class="field">
        <span>{resumes ? t('chooseSame') : t('uploadFile')}</span>
        <input
          type="file"
          multiple={resumes === undefined}
          onChange={({ currentTarget }) => void begin([...(currentTarget.files ?? [])])}
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
              {!here && state === 'receiving' && sent < size_bytes && (
                <Button onClick={() => setResumes(id)}>{t('goOn')}</Button>
              )}
              {!here && state === 'receiving' && sent === size_bytes && (
                <>
                  <Button onClick={() => setImported({ upload: id, name, files: [] })}>{t('importVm')}</Button>
                  <Button onClick={() => void complete(id).catch(told)}>{t('makeVolume')}</Button>
                </>
              )}
              {state === 'receiving' && <Button onClick={() => void cancel(id)}>{t('cancel')}</Button>}
            </div>
            <progress max={size_bytes} value={sent} aria-label={name} />
          </div>
        )
      })}
      {imported && <ImportVm pool={pool} of={imported} onClose={() => setImported(undefined)} />}
    </Card>
  )
}
