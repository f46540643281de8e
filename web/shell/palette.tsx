import { useLocation } from 'preact-iso'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { mayAnywhere } from '../api/session.ts'
import { useSettled } from '../lists/settled.ts'
import { usePages } from '../live/pages.ts'
import { t } from '../words/words.ts'
import { places } from './places.ts'

type Entry = { text: string; kind: string; href: string }
const mostShown = 12
const view = { first: 0, end: mostShown, pageSize: mostShown }

/** Search over pages and resources: a combobox after the ARIA pattern. */
export function Palette({ onClose }: { onClose: () => void }) {
  const { route } = useLocation()
  const dialog = useRef<HTMLDialogElement>(null)
  const [text, setText] = useState('')
  const [at, setAt] = useState(0)
  // Words as they are typed: a colon or a dash in quotes is no part of the query language.
  const q = useSettled(text)
    .replaceAll('"', ' ')
    .trim()
    .split(/\s+/)
    .filter(Boolean)
    .map((word) => `"${word}"`)
    .join(' ')
  const asked = { fields: 'id,name', sort: 'name', q }
  const vms = usePages('vms.list', asked, { ...view, isOff: q === '' }).rows
  const seesContainers = mayAnywhere('containers.list')
  const containers = usePages('containers.list', asked, { ...view, isOff: q === '' || !seesContainers }).rows
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
    ]
    // The server has searched these, in their names, descriptions and tags.
    const found: Entry[] = [
      ...read(vms).map(({ id, name }) => ({ text: name, kind: t('vm'), href: `/vms/${id}` })),
      ...read(containers).map(({ id, name }) => ({ text: name, kind: t('container'), href: `/containers/${id}` })),
    ]
    const wanted = text.toLowerCase().split(/\s+/).filter(Boolean)
    const pagesFound = all.filter((entry) => wanted.every((word) => entry.text.toLowerCase().includes(word)))
    return [...pagesFound, ...(wanted.length > 0 ? found : [])]
      .toSorted((a, b) => rank(a.text, text) - rank(b.text, text))
      .slice(0, mostShown)
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

const read = <T,>(rows: readonly (T | undefined)[]) => rows.filter((row) => row !== undefined)

const rank = (text: string, wanted: string) => {
  const at = text.toLowerCase().indexOf(wanted.toLowerCase())
  return at === 0 ? 0 : at > 0 ? 1 : 2
}
