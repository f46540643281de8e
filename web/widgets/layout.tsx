import type { ComponentChildren } from 'preact'
import { useEffect } from 'preact/hooks'

export function Page({
  title,
  actions,
  children,
  above,
}: {
  title: string
  actions?: ComponentChildren
  children: ComponentChildren
  above?: ComponentChildren
}) {
  useEffect(() => {
    document.title = `${title} · Horcrux`
  }, [title])
  return (
    <>
      <header class="page-head">
        <div>
          {above}
          <h1 tabIndex={-1}>{title}</h1>
        </div>
        <div class="actions">{actions}</div>
      </header>
      {children}
    </>
  )
}

export function Card({
  title,
  actions,
  children,
}: {
  title?: string
  actions?: ComponentChildren
  children: ComponentChildren
}) {
  return (
    <section class="card">
      {(title || actions) && (
        <header>
          {title && <h2>{title}</h2>}
          <div class="actions">{actions}</div>
        </header>
      )}
      {children}
    </section>
  )
}

/** Names and values of one resource. */
export function Facts({ of }: { of: [name: string, value: ComponentChildren][] }) {
  return (
    <dl class="facts">
      {of.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value ?? '–'}</dd>
        </div>
      ))}
    </dl>
  )
}

/** Links to the parts of a page; the current one is in the address. */
export function Tabs({
  label,
  tabs,
  current,
  base,
}: {
  label: string
  tabs: [key: string, text: string][]
  current: string
  base: string
}) {
  return (
    <nav class="tabs" aria-label={label}>
      {tabs.map(([key, text], index) => (
        <a key={key} href={index === 0 ? base : `${base}/${key}`} aria-current={key === current ? 'page' : undefined}>
          {text}
        </a>
      ))}
    </nav>
  )
}
