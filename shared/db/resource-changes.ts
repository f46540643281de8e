import type { TObject } from 'typebox'
import { fillPath, type OnPath, onPath } from '#shared/contract/contract.ts'
import type { Event } from '#shared/contracts/core/events.ts'
import type { Stored, StoredModel } from '#shared/db/model.ts'
import { event } from '#shared/events/event.ts'

/**
 * The path of a record in the API, and the right that a subscriber needs to be told of its changes; of several rights, any of
 * them. Fields of the record are filled in: `/api/vms/{vm_id}/snapshots/{id}`.
 */
export type Resource = { path: `/api/${string}`; sees: 'signed-in' | OnPath | readonly OnPath[] }
export type Change = 'created' | 'updated' | 'deleted'
/** Recipients besides those with the right, who have lost it with the record. */
export type Recipients = Event['for']

const resources = new Map<StoredModel, Resource>()

/** The paths of all records whose changes are told. */
export const resourcePaths = (): string[] => [...resources.values()].map(({ path }) => path)

/** Has the changes of a model's records told as `ResourceChanged`. */
export function tellChangesOf(model: StoredModel, resource: Resource, schema: TObject): void {
  const needed = [resource.path, resource.sees]
    .flat()
    .flatMap((text) => [...text.matchAll(/\{(\w+)\}/g)].map(([, key]) => key!))
  const missing = needed.filter((key) => !(key in schema.properties))
  if (missing.length > 0) throw new Error(`Records of ${resource.path} have no ${missing.join(', ')}`)
  resources.set(model, resource)
}

/** An event for an outbox; {@link filled} adds the path and the version when it is published. */
export const changeEvent = (change: Change, to: Recipients = {}): Event => ({
  ...event('ResourceChanged', { path: '', version: 0, change }),
  for: to,
})

/** Adds the path and the version of the document to a `ResourceChanged` of its outbox; other events stay as they are. */
export function filled(one: Event, model: StoredModel, document: Stored): Event {
  const resource = resources.get(model)
  if (one.type !== 'ResourceChanged' || !resource) return one
  const record = { ...document, id: document._id }
  return {
    ...one,
    data: { ...one.data, path: fillPath(resource.path, record), version: document.version },
    for: { ...one.for, needs: neededFor(resource, record) },
  }
}

function neededFor({ sees }: Resource, record: Record<string, unknown>): NonNullable<NonNullable<Recipients>['needs']> {
  if (sees === 'signed-in') return sees
  return [sees].flat().map((access) => {
    const { privilege, path } = onPath(access)
    return { privilege, path: fillPath(path, record) }
  })
}
