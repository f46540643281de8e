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

/** A status that an event tells, so that a list shows it without asking the server. */
export function statusTold({ type, data }: StreamEvent): { path: string; status: string } | undefined {
  const status = text(data['new_status'])
  if (type === 'VmStatusChanged') return { path: `/api/vms/${text(data['vm_id'])}`, status }
  if (type === 'ContainerStatusChanged') return { path: `/api/containers/${text(data['container_id'])}`, status }
  return undefined
}
