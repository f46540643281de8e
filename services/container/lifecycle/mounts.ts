import type { NewMount } from '#shared/contracts/container/parts.ts'
import { ConflictError, ValidationError, type Violation } from '#shared/errors.ts'
import { allowedPath } from '#shared/nodes/host/allowed-path.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import type { ContainerRecord } from '../model.ts'
import { checking } from '#shared/service/violations.ts'

/** The mounts with real paths of the node. Each path outside the allowed folders, also by a link, is a violation. */
export async function resolveMounts(
  { host, node }: Reached,
  mounts: readonly NewMount[],
  violations: Violation[],
): Promise<NewMount[]> {
  const resolved: NewMount[] = []
  const targets = new Set<string>()
  for (const [index, mount] of mounts.entries()) {
    const field = `mounts.${index}`
    if (targets.has(mount.target))
      violations.push({ field: `${field}.target`, code: 'duplicate', message: `'${mount.target}' has another mount` })
    targets.add(mount.target)
    if (mount.target.split('/').includes('..') || mount.target === '/')
      violations.push({
        field: `${field}.target`,
        code: 'invalid',
        message: 'must be a folder of the container, without ..',
      })
    if (mount.type === 'volume') resolved.push(mount)
    else {
      const source = await checking(`${field}.source`, violations, () =>
        allowedPath(host, mount.source, node, `${field}.source`),
      )
      if (source !== undefined && source !== '/' && !(await host.stat(source)))
        violations.push({ field: `${field}.source`, code: 'not_found', message: `'${source}' is not on the node` })
      if (source !== undefined) resolved.push({ ...mount, source })
    }
  }
  return resolved
}

/**
 * Checks the mounts of a container again, right before it starts: a folder may have been replaced by a link since.
 * @throws ConflictError naming the mount that leads out of the allowed folders
 */
export async function requireMounts({ host, node }: Reached, container: ContainerRecord): Promise<void> {
  if (container.trusted) return
  for (const { type, source, target } of container.mounts) {
    if (type !== 'bind' || source === null) continue
    const real = await allowedPath(host, source, node, 'mounts').catch((error: unknown) => {
      if (error instanceof ValidationError) return null
      throw error
    })
    if (real !== source)
      throw new ConflictError(
        `Container '${container.id}' is not started: its mount at '${target}' leads out of the allowed folders of the node, or to another place than when it was made`,
        { details: { mount: target } },
      )
  }
}

/** Ways of a container to its node that a user needs ContainerPrivileged for. */
export async function waysToNode({ host, node }: Reached, container: ContainerRecord): Promise<string[]> {
  const ways = container.privileged ? ['it is privileged'] : []
  for (const { type, source, target } of container.mounts) {
    if (type !== 'bind' || source === null) continue
    const real = await allowedPath(host, source, node, 'mounts').catch(() => null)
    if (real !== source) ways.push(`it has the host path '${source}' at '${target}'`)
  }
  return ways
}
