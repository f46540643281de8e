import { useLocation } from 'preact-iso'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { mayAnywhere } from '../api/session.ts'
import { useCollection } from '../live/collection.ts'
import { t } from '../words/words.ts'
import { vmListFields } from '../screens/vms.tsx'
import { places } from './places.ts'

type Entry = { text: string; kind: string; href: string }
const mostShown = 12

/** Search over pages and resources: a combobox after the ARIA pattern. */
export function Palette({ onClose }: { onClose: () => void }) {
  const { route } = useLocation()
  const dialog = useRef<HTMLDialogElement>(null)
  const [text, setText] = useState('')
  const [at, setAt] = useState(0)
  const vms = useCollection('vms.list', { fields: vmListFields }, 'vms.get').items
  const containers = useCollection('containers.list', {}, 'containers.get').items
  useEffect(() => {
    const before = document.activeElement
    dialog.current!.showModal()
    return () => before instanceof HTMLElement && before.isConnected && before.focus()
  }, [])
  const entries = useMemo(() => {
    const pages = places.flatMap(({ of }) => of).filter(({ needs }) => !needs || mayAnywhere(needs))
    const all: Entry[] = [
      ...pages.map(({ word, href }) => ({ text: t(word), kind: t('page'), href })),
      ...(mayAnywhere('vms.create') ? [{ text: t('createVm'), kind: t('action'), href: '/vms/new' }] : []),
      ...vms.map(({ id, name }) => ({ text: name, kind: t('vm'), href: `/vms/${id}` })),
      ...containers.map(({ id, name }) => ({ text: name, kind: t('container'), href: `/containers/${id}` })),
    ]
    const wanted = text.toLowerCase().split(/\s+/).filter(Boolean)
    const found = all.filter((entry) => wanted.every((word) => entry.text.toLowerCase().includes(word)))
    return found.toSorted((a, b) => rank(a.text, text) - rank(b.text, text)).slice(0, mostShown)
  }, [text, vms, containers])
  const go = (entry: Entry | undefined) => {
    if (!entry) return
    onClose()
    route(entry.href)
  }
  const onKey = (event: KeyboardEvent) => {
    if (event.key === 'ArrowDown') setAt((at + 1) % Math.max(1, entries.length))
    else if (event.key === 'ArrowUp') setAt((at - 1 + entries.length) % Math.max(1, entries.length))
    else if (event.key === 'Enter') go(entries[at])
    else return
    event.preventDefault()
  }
  return (
    <dialog
      ref={dialog}
      class="dialog palette"
      aria-label={t('searchAll')}
      onCancel={(event) => (event.preventDefault(), onClose())}
    >
      <input
        autofocus
        role="combobox"
        aria-expanded="true"
        aria-controls="palette-list"
        aria-activedescendant={entries.length > 0 ? `palette-${at}` : undefined}
        aria-label={t('searchAll')}
        placeholder={t('searchAll')}
        value={text}
        onInput={({ currentTarget }) => (setText(currentTarget.value), setAt(0))}
        onKeyDown={onKey}
      />
      <ul id="palette-list" role="listbox" aria-label={t('results')}>
        {entries.map((entry, index) => (
          <li
            key={entry.href}
            id={`palette-${index}`}
            role="option"
            aria-selected={index === at}
            onPointerMove={() => setAt(index)}
            onClick={() => go(entry)}
          >
            {entry.text} <small>{entry.kind}</small>
          </li>
        ))}
      </ul>
      <p class="sr" role="status">
        {t('total', { count: entries.length })}
      </p>
    </dialog>
  )
}

const rank = (text: string, wanted: string) => {
  const at = text.toLowerCase().indexOf(wanted.toLowerCase())
  return at === 0 ? 0 : at > 0 ? 1 : 2
}
