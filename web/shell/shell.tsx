import type { FunctionComponent } from 'preact'
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
import { Logo } from './brand.tsx'
import { OperationsDrawer } from './operations-drawer.tsx'
import { Palette } from './palette.tsx'
import { places } from './places.ts'
import { chooseTheme, theme, themes } from './theme.ts'

/** Screens are loaded when they are opened. */
const NewVm = lazy(() => import('../screens/vm/new-vm.tsx').then((module) => module.NewVm))
const VmPage = lazy(() => import('../screens/vm/vm.tsx').then((module) => module.VmPage))
const Containers = lazy(() => import('../screens/container/containers.tsx').then((module) => module.Containers))
const ContainerPage = lazy(() => import('../screens/container/container.tsx').then((module) => module.ContainerPage))
const Images = lazy(() => import('../screens/container/images.tsx').then((module) => module.Images))
const Stacks = lazy(() => import('../screens/container/stacks.tsx').then((module) => module.Stacks))
const Backups = lazy(() => import('../screens/vm/backups.tsx').then((module) => module.Backups))
const Replication = lazy(() =>
  import('../screens/storage/replication-jobs.tsx').then((module) => module.ReplicationJobs),
)
const Replicas = lazy(() => import('../screens/storage/replicas.tsx').then((module) => module.Replicas))
const BackupJobs = lazy(() => import('../screens/storage/backup-jobs.tsx').then((module) => module.BackupJobs))
const Schedules = lazy(() => import('../screens/schedules.tsx').then((module) => module.Schedules))
const Pools = lazy(() => import('../screens/storage/pools.tsx').then((module) => module.Pools))
const PoolPage = lazy(() => import('../screens/storage/pool.tsx').then((module) => module.PoolPage))
const Nodes = lazy(() => import('../screens/cluster/nodes.tsx').then((module) => module.Nodes))
const NodePage = lazy(() => import('../screens/cluster/nodes.tsx').then((module) => module.NodePage))
const Ha = lazy(() => import('../screens/cluster/ha.tsx').then((module) => module.Ha))
const HaGroups = lazy(() => import('../screens/cluster/ha-groups.tsx').then((module) => module.HaGroups))
const MigrationsPage = lazy(() => import('../screens/cluster/migrations.tsx').then((module) => module.MigrationsPage))
const Networks = lazy(() => import('../screens/network/networks.tsx').then((module) => module.Networks))
const Policies = lazy(() => import('../screens/network/policies.tsx').then((module) => module.Policies))
const Operations = lazy(() => import('../screens/watch/operations.tsx').then((module) => module.Operations))
const Alerts = lazy(() => import('../screens/watch/alerts.tsx').then((module) => module.Alerts))
const Audit = lazy(() => import('../screens/watch/audit.tsx').then((module) => module.Audit))
const Users = lazy(() => import('../screens/access/users.tsx').then((module) => module.Users))
const Groups = lazy(() => import('../screens/access/groups.tsx').then((module) => module.Groups))
const Roles = lazy(() => import('../screens/access/groups.tsx').then((module) => module.Roles))
const Grants = lazy(() => import('../screens/access/grants.tsx').then((module) => module.Grants))
const ResourcePools = lazy(() => import('../screens/access/resource-pools.tsx').then((module) => module.ResourcePools))
const DevicePage = lazy(() => import('../screens/access/device.tsx').then((module) => module.DevicePage))
const Account = lazy(() => import('../screens/access/account.tsx').then((module) => module.Account))

const screens: [path: string, component: FunctionComponent][] = [
  ['/', Dashboard],
  ['/vms', Vms],
  ['/vms/new', NewVm],
  ['/vms/:id/:tab?', VmPage],
  ['/containers', Containers],
  ['/containers/:id/:tab?', ContainerPage],
  ['/images', Images],
  ['/stacks', Stacks],
  ['/backups', Backups],
  ['/backup-jobs', BackupJobs],
  ['/replication', Replication],
  ['/replicas', Replicas],
  ['/schedules', Schedules],
  ['/storage', Pools],
  ['/storage/:id', PoolPage],
  ['/nodes', Nodes],
  ['/nodes/:id', NodePage],
  ['/ha', Ha],
  ['/ha-groups', HaGroups],
  ['/migrations', MigrationsPage],
  ['/networks', Networks],
  ['/policies', Policies],
  ['/operations', Operations],
  ['/alerts/:tab?', Alerts],
  ['/audit', Audit],
  ['/users', Users],
  ['/groups', Groups],
  ['/roles', Roles],
  ['/grants', Grants],
  ['/resource-pools', ResourcePools],
  ['/account', Account],
  ['/device', DevicePage],
]

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
        <AccountMenu />
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
              {screens.map(([path, component]) => (
                <Route key={path} path={path} component={component} />
              ))}
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

function AccountMenu() {
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
        <Logo />
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
