import type { ComponentChildren } from 'preact'
import { useId } from 'preact/hooks'
import { Icon, type IconName } from './icon.tsx'

type Props = {
  children?: ComponentChildren
  icon?: IconName
  /** Accessible name of a button that shows an icon only. */ label?: string
  kind?: 'main' | 'danger' | 'quiet'
  /** Why it cannot be used now: the button stays reachable, and says it. */ reason?: string | undefined
  isBusy?: boolean
  onClick?: (event: MouseEvent) => unknown
  type?: 'button' | 'submit'
  popovertarget?: string
  class?: string
  'aria-expanded'?: boolean
  'aria-haspopup'?: 'menu' | 'dialog'
  autofocus?: boolean
}

export function Button({
  children,
  icon,
  label,
  kind,
  reason,
  isBusy,
  onClick,
  type = 'button',
  class: more = '',
  ...rest
}: Props) {
  const id = useId()
  const isOff = reason !== undefined || isBusy === true
  return (
    <>
      <button
        {...rest}
        type={type}
        class={`button ${kind ?? ''} ${icon && !children ? 'square' : ''} ${more}`}
        aria-label={label}
        title={reason ?? (children ? undefined : label)}
        aria-disabled={isOff || undefined}
        aria-busy={isBusy || undefined}
        aria-describedby={reason ? id : undefined}
        onClick={(event) => {
          if (isOff) event.preventDefault()
          else onClick?.(event)
        }}
      >
        {icon && <Icon name={icon} />}
        {children}
      </button>
      {reason && (
        <span id={id} class="sr">
          {reason}
        </span>
      )}
    </>
  )
}
