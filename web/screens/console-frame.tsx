import type { ComponentChildren } from 'preact'
import { t } from '../words/words.ts'

/**
 * The console page in a frame of its own, because its terminal needs another content security policy.
 * @param children choices, left of the link to a window of its own
 */
export function ConsoleFrame({
  query,
  title,
  children,
}: {
  query: string
  title: string
  children?: ComponentChildren
}) {
  const address = `/console/?${query}`
  return (
    <div class="stack">
      <div class="row">
        {children}
        <a class="button" href={address} target="_blank" rel="noopener">
          {t('ownWindow')}
        </a>
      </div>
      <iframe
        key={address}
        class="console-frame"
        src={`${address}&embedded=1`}
        title={title}
        allow="clipboard-read; clipboard-write; fullscreen"
      />
    </div>
  )
}
