import { useEffect, useId, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { Icon, type IconName } from './icon.tsx'

export type MenuItem = {
  label: string
  onSelect: () => unknown
  reason?: string | undefined
  isDanger?: boolean
  isChecked?: boolean
}

/** A menu button after the ARIA pattern: arrows move, letters jump, Escape closes and gives the focus back. */
export function Menu({
  label,
  icon,
  text,
  items,
}: {
  label: string
  icon?: IconName
  text?: string
  items: MenuItem[]
}) {
  const [isOpen, setOpen] = useState(false)
  const root = useRef<HTMLDivElement>(null)
  const trigger = useRef<HTMLButtonElement>(null)
  const id = useId()
  const buttons = () => [...(root.current?.querySelectorAll<HTMLElement>('[role^=menuitem]') ?? [])]

  const popup = useRef<HTMLDivElement>(null)
  useLayoutEffect(() => {
    if (isOpen) placeAt(trigger.current!, popup.current!)
  }, [isOpen])

  useEffect(() => {
    if (!isOpen) return undefined
    buttons()[0]?.focus({ preventScroll: true })
    const outside = (event: Event) => !root.current?.contains(event.target as Node) && setOpen(false)
    // It stands still while the page scrolls.
    const scrolled = (event: Event) => !root.current?.contains(event.target as Node) && setOpen(false)
    document.addEventListener('pointerdown', outside)
    document.addEventListener('scroll', scrolled, true)
    return () => {
      document.removeEventListener('pointerdown', outside)
      document.removeEventListener('scroll', scrolled, true)
    }
  }, [isOpen])

  const close = () => {
    setOpen(false)
    trigger.current?.focus()
  }
  const onKey = (event: KeyboardEvent) => {
    const all = buttons()
    const at = all.indexOf(document.activeElement as HTMLElement)
    const moves: Record<string, number> = {
      ArrowDown: at + 1,
      ArrowUp: at - 1 + all.length,
      Home: 0,
      End: all.length - 1,
    }
    if (event.key === 'Escape') close()
    else if (event.key === 'Tab') setOpen(false)
    else if (event.key in moves) all[moves[event.key]! % all.length]?.focus()
    else if (event.key.length === 1)
      all.find((each) => each.textContent?.toLowerCase().startsWith(event.key.toLowerCase()))?.focus()
    else return
    if (event.key !== 'Tab') {
      event.preventDefault()
      event.stopPropagation()
    }
  }
  return (
    <div class="menu" ref={root} onKeyDown={isOpen ? onKey : undefined}>
      <button
        ref={trigger}
        type="button"
        class={`button ${text ? '' : 'square'} quiet`}
        aria-haspopup="menu"
        aria-expanded={isOpen}
        aria-controls={isOpen ? id : undefined}
        aria-label={text ? undefined : label}
        title={text ? undefined : label}
        onClick={() => setOpen(!isOpen)}
      >
        {icon && <Icon name={icon} />}
        {text}
      </button>
      {isOpen && (
        <div id={id} ref={popup} class="popup" role="menu" aria-label={label}>
          {items.map((item) => (
            <button
              key={item.label}
              type="button"
              tabIndex={-1}
              role={item.isChecked === undefined ? 'menuitem' : 'menuitemradio'}
              aria-checked={item.isChecked}
              aria-disabled={item.reason !== undefined || undefined}
              title={item.reason}
              class={item.isDanger ? 'danger' : ''}
              onClick={() => {
                if (item.reason !== undefined) return
                close()
                item.onSelect()
              }}
            >
              {item.label}
              {item.reason && <small>{item.reason}</small>}
            </button>
          ))}
        </div>
      )}
    </div>
  )
}

const gap = 4

/** Places a popup at its button, within the window: a table's own scrolling would cut it off. */
function placeAt(trigger: HTMLElement, popup: HTMLElement): void {
  const at = trigger.getBoundingClientRect()
  const { offsetWidth: width, offsetHeight: height } = popup
  const isBelow = at.bottom + gap + height <= innerHeight
  popup.style.left = `${Math.max(gap, Math.min(innerWidth - width - gap, at.right - width))}px`
  popup.style.top = `${isBelow ? at.bottom + gap : Math.max(gap, at.top - gap - height)}px`
}
