import type { ComponentChildren } from 'preact'
import type { Refusal } from '../api/refusal.ts'
import { t } from '../words/words.ts'
import { Button } from './button.tsx'
import { Icon } from './icon.tsx'

/** Grey bars in the place of rows that are being read. */
export const Skeleton = ({ rows = 6 }: { rows?: number }) => (
  <div class="skeleton" role="status" aria-label={t('loading')}>
    {Array.from({ length: rows }, (_, index) => (
      <i key={index} />
    ))}
  </div>
)

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children}
    </div>
  )
}

/** A refused request: its message, its details to copy, and a retry. */
export function Problem({
  error,
  onRetry,
  title,
}: {
  error: Refusal
  onRetry?: (() => unknown) | undefined
  title?: string
}) {
  const isForbidden = error.status === 403
  const details = [
    `${error.status} ${error.code}`,
    error.requestId && `request ${error.requestId}`,
    ...Object.entries(error.details).map(([key, value]) => `${key}: ${JSON.stringify(value)}`),
  ]
  return (
    <div class={`problem ${isForbidden ? 'forbidden' : ''}`} role="alert">
      <Icon name={isForbidden ? 'policy' : 'alert'} />
      <div>
        <h2>{title ?? (isForbidden ? t('forbidden') : error.status === 404 ? t('notFound') : t('failed'))}</h2>
        <p>{error.message}</p>
        {error.violations.length > 0 && (
          <ul>
            {error.violations.map(({ field, message }) => (
              <li key={field}>
                <code>{field}</code> {message}
              </li>
            ))}
          </ul>
        )}
        <details>
          <summary>{t('details')}</summary>
          <pre>{details.filter(Boolean).join('\n')}</pre>
        </details>
        {onRetry && !isForbidden && <Button onClick={onRetry}>{t('retry')}</Button>}
      </div>
    </div>
  )
}

type Shown<T> = { data: T | undefined; error: Refusal | undefined; retry: () => void }

/** Shows data, or the state in its place; an error beside older data is shown above it. */
export function Loaded<T>({
  of,
  children,
  rows,
}: {
  of: Shown<T>
  children: (data: T) => ComponentChildren
  rows?: number
}) {
  if (of.data === undefined)
    return of.error ? <Problem error={of.error} onRetry={of.retry} /> : <Skeleton rows={rows ?? 4} />
  return (
    <>
      {of.error && <Problem error={of.error} onRetry={of.retry} />}
      {children(of.data)}
    </>
  )
}
