import type { ComponentChildren } from 'preact'
import { useEffect, useId, useRef } from 'preact/hooks'
import { t } from '../words/words.ts'
import { Button } from './button.tsx'

type Props = {
  title: string
  children: ComponentChildren
  onClose: () => void
  /** `side`: a drawer at the edge. */ shape?: 'side' | 'wide' | undefined
  /** It cannot be left by Escape or its cross. */ isFixed?: boolean
}

/** A native modal dialog: the browser traps the focus, and gives it back at the end. */
export function Dialog({ title, children, onClose, shape, isFixed }: Props) {
  const ref = useRef<HTMLDialogElement>(null)
  const id = useId()
  useEffect(() => {
    const dialog = ref.current!
    const before = document.activeElement
    if (!dialog.open) dialog.showModal()
    return () => {
      dialog.close()
      if (before instanceof HTMLElement && before.isConnected) before.focus()
    }
  }, [])
  return (
    <dialog
      ref={ref}
      class={`dialog ${shape ?? ''}`}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault()
        if (!isFixed && event.target === ref.current) onClose()
      }}
    >
      <header>
        <h2 id={id}>{title}</h2>
        {!isFixed && <Button kind="quiet" icon="close" label={t('close')} onClick={onClose} />}
      </header>
      <div class="body">{children}</div>
    </dialog>
  )
}
