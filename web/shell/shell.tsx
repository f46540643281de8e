import { ErrorBoundary, lazy, LocationProvider, Route, Router, useLocation } from 'preact-iso'
import { useEffect, useState } from 'preact/hooks'
import { mayAnywhere, signOut, userName } from '../api/session.ts'
import { runningCount } from '../live/operations.ts'
import { cutSince, isOffline } from '../live/stream.ts'
import { Dashboard } from '../screens/dashboard.tsx'
import { Vms } from '../screens/vms.tsx'
import { Button } from '../widgets/button.tsx'
import { Icon } from '../widgets/icon.tsx'
import { Menu } from '../widgets/menu.tsx'
import { Empty } from '../widgets/states.tsx'
import { Toasts } from '../widgets/toasts.tsx'
import { ago } from '../words/format.ts'
import { chooseLanguage, language, languages, t } from '../words/words.ts'
import { OperationsDrawer } from './operations-drawer.tsx'
import { Palette } from './palette.tsx'
import { places } from './places.ts'
import { chooseTheme, theme, themes } from './theme.ts'

const screens = {
  NewVm: lazy(() => import('../screens/vm/new-vm.tsx').then(({ NewVm }) => NewVm)),
  Vm: lazy(() => import('../screens/vm/vm.tsx').then(({ VmPage }) => VmPage)),
}

const NotFound = () => (
  <Empty title={t('notFound')}>
    <a href="/">{t('nav.dashboard')}</a>
  </Empty>
)

export function Shell() {
  return (
    <LocationProvider scope={/^(?!\/(api|console|healthz|readyz)(\/|$|\?))/}>
      <Frame />
    </LocationProvider>
  )
}

function Frame() {
  const [isMenuOpen, setMenuOpen] = useState(false)
  const [dialog, setDialog] = useState<'palette' | 'operations'>()
  const { path } = useLocation()
  useEffect(() => setMenuOpen(false), [path])
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k') {
        event.preventDefault()
        setDialog('palette')
      }
      const isTyping = event.target instanceof HTMLElement && event.target.closest('input, textarea, select, dialog')
      if (event.key === '/' && !isTyping) {
        const search = document.querySelector<HTMLElement>('[data-search]')
        if (search) event.preventDefault()
        search?.focus()
      }
    }
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  }, [])
  const running = runningCount.value
  return (
    <div class="shell">
      <a class="skip" href="#main">
        {t('skip')}
      </a>
      <Side isOpen={isMenuOpen} path={path} />
      <header class="top">
        <Button
          class="for-phone"
          kind="quiet"
          icon="menu"
          label={t('menu')}
          aria-expanded={isMenuOpen}
          onClick={() => setMenuOpen(!isMenuOpen)}
        />
        <Button class="to-search" icon="search" onClick={() => setDialog('palette')}>
          {t('searchAll')} <kbd>Ctrl K</kbd>
        </Button>
        <span class="spread" />
        <Button kind="quiet" icon="operation" label={t('nav.operations')} onClick={() => setDialog('operations')}>
          {running > 0 ? <span class="num">{running}</span> : undefined}
        </Button>
        <Menu
          label={t('appearance')}
          icon="theme"
          items={[
            ...themes.map((each) => ({
              label: t(`theme.${each}`),
              isChecked: theme.value === each,
              onSelect: () => chooseTheme(each),
            })),
            ...languages.map((each) => ({
              label: each === 'de' ? 'Deutsch' : 'English',
              isChecked: language.value === each,
              onSelect: () => chooseLanguage(each),
            })),
          ]}
        />
        <Account />
      </header>
      <div class="stack" style={{ alignContent: 'start', gap: 0 }}>
        {isOffline.value && (
          <div class="banner" role="status">
            {t('offline', { since: ago(cutSince.value) })}
          </div>
        )}
        <main id="main" class="content" tabIndex={-1}>
          <ErrorBoundary>
            <Router onRouteChange={() => scrollTo(0, 0)}>
              <Route path="/" component={Dashboard} />
              <Route path="/vms" component={Vms} />
              <Route path="/vms/new" component={screens.NewVm} />
              <Route path="/vms/:id/:tab?" component={screens.Vm} />
              <Route default component={NotFound} />
            </Router>
          </ErrorBoundary>
        </main>
      </div>
      {dialog === 'palette' && <Palette onClose={() => setDialog(undefined)} />}
      {dialog === 'operations' && <OperationsDrawer onClose={() => setDialog(undefined)} />}
      <Toasts />
    </div>
  )
}

function Account() {
  const { route } = useLocation()
  return (
    <Menu
      label={t('account')}
      icon="user"
      text={userName()}
      items={[
        { label: t('account'), onSelect: () => route('/account') },
        { label: t('signOut'), onSelect: () => void signOut() },
      ]}
    />
  )
}

function Side({ isOpen, path }: { isOpen: boolean; path: string }) {
  const isCurrent = (href: string) => (href === '/' ? path === '/' : path === href || path.startsWith(`${href}/`))
  return (
    <nav class={`side ${isOpen ? 'open' : ''}`} aria-label={t('menu')}>
      <a class="brand" href="/">
        <img src="/icon.svg" alt="" />
        Horcrux
      </a>
      {places.map(({ word, of }) => {
        const shown = of.filter(({ needs }) => !needs || mayAnywhere(needs))
        if (shown.length === 0) return null
        return (
          <section key={word}>
            <h2>{t(word)}</h2>
            <ul>
              {shown.map(({ href, word, icon }) => (
                <li key={href}>
                  <a href={href} aria-current={isCurrent(href) ? 'page' : undefined}>
                    <Icon name={icon} />
                    {t(word)}
                  </a>
                </li>
              ))}
            </ul>
          </section>
        )
      })}
    </nav>
  )
}
