import type { ServiceChange, StackPlan } from '#shared/contracts/container/stacks.ts'
import type { ContainerStatus } from '#shared/contracts/container/parts.ts'
import { planned } from '#shared/service/plan.ts'
import type { Owned } from '../drivers/parts.ts'
import { specOf } from './project/document.ts'
import type { Project, Service } from './project/schema.ts'

/** A container of a project as its engine has it. */
export type Standing = {
  service: string
  status: ContainerStatus
  /** The hash of the service that it was made of; null for one that others have made. */
  spec: string | null
  /** Its image is the one that the name of the image means now. */
  hasCurrentImage: boolean
}

function changeOf(name: string, service: Service, own: Standing[]): ServiceChange {
  const { scale = 1 } = service
  const of = (action: ServiceChange['action'], reason: string) => ({
    name,
    action,
    containers: own.length,
    scale,
    reason,
  })
  if (own.length === 0)
    return of(scale === 0 ? 'keep' : 'create', scale === 0 ? 'its scale is 0' : 'it has no container')
  if (own.some(({ spec }) => spec !== specOf(service))) return of('recreate', 'its settings are others')
  if (own.some(({ hasCurrentImage }) => !hasCurrentImage)) return of('recreate', 'its image is another one by now')
  if (own.length !== scale) return of('scale', `it has ${own.length} container(s) of ${scale}`)
  if (own.some(({ status }) => status !== 'running')) return of('start', 'not all of its containers run')
  return of('keep', 'it is as the file has it')
}

/** Names of the volumes or networks that the engine gives to those of a project. */
const namesOf = (project: string, all: Project['volumes'] | Project['networks']) =>
  Object.entries(all)
    .filter(([, { external }]) => external !== true)
    .map(([key, { name }]) => name ?? `${project}_${key}`)

/** The networks of a project: the default one has those services that name no other. */
function networksOf(name: string, { services, networks }: Project): string[] {
  const isDefaultUsed = Object.values(services).some((one) => one.networks === undefined || 'default' in one.networks)
  const used = new Set(Object.values(services).flatMap((one) => Object.keys(one.networks ?? {})))
  const declared = Object.fromEntries(Object.entries(networks).filter(([key]) => used.has(key) || key === 'default'))
  return [
    ...new Set([...(isDefaultUsed && !('default' in networks) ? [`${name}_default`] : []), ...namesOf(name, declared)]),
  ]
}

const owned = (wanted: string[], there: string[], removed: string[]): StackPlan['volumes'] => [
  ...wanted.map((name) => ({ name, action: there.includes(name) ? ('keep' as const) : ('create' as const) })),
  ...there.filter((name) => removed.includes(name)).map((name) => ({ name, action: 'remove' as const })),
]

type Known = { id: string; name: string; standing: Standing[]; owned: Owned }

const removal = (name: string, containers: number, reason: string): ServiceChange => ({
  name,
  action: 'remove',
  containers,
  scale: 0,
  reason,
})

/** The changes that bring a stack to a project. Volumes that the file no longer names stay, and so do their networks' names. */
export function planUp({ id, name, standing, owned: there }: Known, project: Project): StackPlan {
  const byService = Map.groupBy(standing, ({ service }) => service)
  const gone = [...byService].filter(([service]) => !(service in project.services))
  return planned({
    stack: id,
    services: [
      ...Object.entries(project.services).map(([service, one]) => changeOf(service, one, byService.get(service) ?? [])),
      ...gone.map(([service, own]) => removal(service, own.length, 'the file no longer has it')),
    ],
    volumes: owned(usedVolumes(name, project), there.volumes, []),
    networks: owned(networksOf(name, project), there.networks, []),
  })
}

/** Compose makes the volumes that services use. */
function usedVolumes(name: string, { services, volumes }: Project): string[] {
  const used = new Set(
    Object.values(services).flatMap((one) =>
      (one.volumes ?? []).flatMap((mount) => (mount.type === 'volume' && mount.source ? [mount.source] : [])),
    ),
  )
  return namesOf(name, Object.fromEntries(Object.entries(volumes).filter(([key]) => used.has(key))))
}

/** The removal of a stack. */
export function planDown({ id, standing, owned: there }: Known, withVolumes: boolean): StackPlan {
  const byService = Map.groupBy(standing, ({ service }) => service)
  return planned({
    stack: id,
    services: [...byService].map(([service, own]) => removal(service, own.length, 'the stack is taken down')),
    volumes: there.volumes.map((name) => ({ name, action: withVolumes ? ('remove' as const) : ('keep' as const) })),
    networks: there.networks.map((name) => ({ name, action: 'remove' as const })),
  })
}
