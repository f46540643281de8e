import { signal } from '@preact/signals'
import { t } from '../words/words.ts'
import { Button } from './button.tsx'

type Toast = { id: number; tone: 'good' | 'bad'; text: string; link?: { href: string; text: string } | undefined }
const shownMs = 5000
const toasts = signal<Toast[]>([])
let last = 0

const drop = (id: number) => (toasts.value = toasts.value.filter((toast) => toast.id !== id))

/** Says an outcome for 5 seconds; a failure stays until it is closed. */
export function toast(tone: Toast['tone'], text: string, link?: Toast['link']): void {
  const id = ++last
  toasts.value = [...toasts.value.slice(-3), { id, tone, text, link }]
  if (tone === 'good') setTimeout(() => drop(id), shownMs)
}

export function Toasts() {
  return (
    <div class="toasts" role="region" aria-label={t('notifications')}>
      <div aria-live="polite">
        {toasts.value.map(({ id, tone, text, link }) => (
          <div key={id} class={`toast ${tone}`}>
            <span>{text}</span>
            {link && <a href={link.href}>{link.text}</a>}
            <Button kind="quiet" icon="close" label={t('close')} onClick={() => drop(id)} />
          </div>
        ))}
      </div>
    </div>
  )
}
