import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { Id, nullable, oneOf, strict } from '#shared/contracts/common.ts'
import { newRuntime, Runtime } from '#shared/contracts/container/parts.ts'

const PruneItem = strict({
  kind: oneOf('container', 'image'),
  id: Id,
  name: Type.String(),
  node: Id,
  runtime: Runtime,
  size_bytes: nullable(Type.Integer({ description: 'null where the engine does not tell it' })),
  reason: Type.String(),
})
export type PruneItem = Static<typeof PruneItem>

const PrunePlan = strict({
  remove: Type.Array(PruneItem, { description: 'In this order' }),
  skipped: Type.Array(PruneItem, { description: 'Unused ones that stay, and why' }),
  size_bytes: Type.Integer({
    description: 'Of those to remove, as far as it is known; layers that images share count for each',
  }),
  unanswered: Type.Array(Type.String(), { description: 'Engines that do not answer' }),
  plan_id: Type.String({ description: 'For the header `If-Plan`' }),
})
export type PrunePlan = Static<typeof PrunePlan>

/** The removal of containers and images that nothing uses. */
export const prunes = contract('prunes', {
  prune: {
    does: 'Remove stopped containers and unused images; with plan, tell what would go',
    rest: 'POST /containers/prune',
    can: 'ContainerAllocate on /api/containers',
    operation: true,
    audit: 'container_deleted',
    plan: PrunePlan,
    params: strict({
      plan: Type.Boolean({ default: false, description: 'Answer with the plan, and change nothing' }),
      node: Type.Optional(Id),
      runtime: Type.Optional(Type.Enum([...newRuntime.enum])),
      containers: Type.Boolean({ default: true, description: 'Managed containers that are stopped' }),
      images: Type.Enum(['none', 'unnamed', 'unused'], {
        default: 'unnamed',
        description: 'Images that no container is made of, or only those to be removed: without a name, or all',
      }),
      only: Type.Optional(Type.Array(Id, { maxItems: 1000, description: 'No others than these' })),
    }),
    result: strict({ removed: Type.Array(PruneItem), kept: Type.Array(PruneItem) }),
  },
})
