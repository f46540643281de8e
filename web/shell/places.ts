import type { ActionName } from '../api/contracts.ts'
import type { IconName } from '../widgets/icon.tsx'
import type { Word } from '../words/words.ts'

export type Place = { href: string; word: Word; icon: IconName; needs?: ActionName }

/** The menu and the palette are made of this list. */
export const places: { word: Word; of: Place[] }[] = [
  {
    word: 'nav.guests',
    of: [
      { href: '/', word: 'nav.dashboard', icon: 'home' },
      { href: '/vms', word: 'nav.vms', icon: 'vm', needs: 'vms.list' },
      { href: '/containers', word: 'nav.containers', icon: 'container', needs: 'containers.list' },
      { href: '/stacks', word: 'nav.stacks', icon: 'group', needs: 'containers.list' },
      { href: '/images', word: 'nav.images', icon: 'copy', needs: 'containers.list' },
      { href: '/backups', word: 'nav.backups', icon: 'storage', needs: 'backups.list' },
      { href: '/backup-jobs', word: 'nav.backupJobs', icon: 'schedule', needs: 'backup-jobs.list' },
      { href: '/replication', word: 'nav.replication', icon: 'copy', needs: 'replication-jobs.list' },
      { href: '/replicas', word: 'nav.replicas', icon: 'copy', needs: 'replicas.list' },
      { href: '/schedules', word: 'nav.schedules', icon: 'schedule', needs: 'snapshot-schedules.list' },
    ],
  },
  {
    word: 'nav.infrastructure',
    of: [
      { href: '/storage', word: 'nav.storage', icon: 'storage', needs: 'pools.list' },
      { href: '/nodes', word: 'nav.nodes', icon: 'node', needs: 'nodes.list' },
      { href: '/ha', word: 'nav.ha', icon: 'policy', needs: 'ha.status' },
      { href: '/ha-groups', word: 'nav.haGroups', icon: 'group', needs: 'ha-groups.list' },
      { href: '/migrations', word: 'nav.migrations', icon: 'move', needs: 'migrations.list' },
      { href: '/networks', word: 'nav.networks', icon: 'network', needs: 'networks.list' },
      { href: '/policies', word: 'nav.policies', icon: 'policy', needs: 'network-policies.list' },
    ],
  },
  {
    word: 'nav.watch',
    of: [
      { href: '/operations', word: 'nav.operations', icon: 'operation' },
      { href: '/alerts', word: 'nav.alerts', icon: 'alert', needs: 'alerts.active' },
      { href: '/audit', word: 'nav.audit', icon: 'audit', needs: 'audit.list' },
    ],
  },
  {
    word: 'nav.access',
    of: [
      { href: '/users', word: 'nav.users', icon: 'user', needs: 'users.list' },
      { href: '/groups', word: 'nav.groups', icon: 'group', needs: 'groups.list' },
      { href: '/roles', word: 'nav.roles', icon: 'role', needs: 'roles.create' },
      { href: '/grants', word: 'nav.grants', icon: 'policy' },
      { href: '/resource-pools', word: 'nav.resourcePools', icon: 'pool' },
    ],
  },
]
