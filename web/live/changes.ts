/** An event of the stream as far as the page reads it. */
export type StreamEvent = { seq: number; type: string; topic?: string; data: Record<string, unknown> }

/** True if a change of the resource at `changed` can alter the answer of a GET on `asked`: same, above or below. */
export function concerns(asked: string, changed: string): boolean {
  return asked === changed || asked.startsWith(`${changed}/`) || changed.startsWith(`${asked}/`)
}

const text = (value: unknown) => (typeof value === 'string' ? value : '')

/** The paths of resources that an event says have changed. */
export function changedBy({ type, data }: StreamEvent): string[] {
  switch (type) {
    case 'ResourceChanged':
      return [text(data['path'])]
    case 'VmStatusChanged':
    case 'VmCreated':
    case 'VmDeleted':
      return [`/api/vms/${text(data['vm_id'])}`]
    case 'ContainerCreated':
    case 'ContainerDeleted':
      return [`/api/containers/${text(data['container_id'])}`, '/api/stacks', '/api/images']
    case 'ContainerStatusChanged':
    case 'ContainerOom':
      return [`/api/containers/${text(data['container_id'])}`, '/api/stacks']
    case 'AlertTriggered':
    case 'AlertResolved':
      return ['/api/alerts/active', '/api/alerts/history']
    case 'OperationUpdated': {
      const own = `/api/operations/${text(data['id'])}`
      const isOver = data['ended_at'] !== null
      return isOver && Array.isArray(data['resources']) ? [own, ...data['resources'].map(text)] : [own]
    }
    default:
      return []
  }
}

/** Fields of an item that an event tells, so that a list shows them without asking the server. */
export type Told = {
  path: string
  fields: Record<string, unknown>
  /** A list in which these fields of the item are as before need not be read again. */ unless?: readonly string[]
}

/** Fields of an operation that change while it runs. */
const ofProgress = ['state', 'stage', 'progress', 'error', 'cancellable', 'ended_at', 'version']

export function told({ type, data }: StreamEvent): Told | undefined {
  const fields = { status: text(data['new_status']) }
  if (type === 'VmStatusChanged') return { path: `/api/vms/${text(data['vm_id'])}`, fields }
  if (type === 'ContainerStatusChanged') return { path: `/api/containers/${text(data['container_id'])}`, fields }
  if (type !== 'OperationUpdated') return undefined
  const known = ofProgress.map((field) => [field, data[field]])
  return { path: `/api/operations/${text(data['id'])}`, fields: Object.fromEntries(known), unless: ['state'] }
}
