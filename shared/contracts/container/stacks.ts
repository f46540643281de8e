import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { ById, Id, ListQuery, nullable, oneOf, Page, strict } from '#shared/contracts/common.ts'
import { ContainerStatus, Runtime } from '#shared/contracts/container/parts.ts'

const Member = strict({
  id: Id,
  name: Type.String(),
  service: nullable(Type.String({ description: 'The service of the project that it is of' })),
  status: ContainerStatus,
})

export const Stack = strict({
  id: Id,
  name: Type.String({ description: "The project's name" }),
  node: Id,
  runtime: Runtime,
  status: oneOf('running', 'partial', 'stopped', 'unknown'),
  containers: Type.Array(Member, { description: 'Those that the caller may see' }),
})
export type Stack = Static<typeof Stack>

/** The containers of a Compose project on one engine are a stack. */
export const stacks = contract('stacks', {
  list: {
    does: 'List the stacks: containers that belong to one Compose project',
    rest: 'GET /stacks',
    can: 'signed-in',
    params: ListQuery('name', 'node', 'runtime', 'status'),
    result: Page(Stack),
  },
  get: {
    does: 'Get a stack',
    rest: 'GET /stacks/{id}',
    can: 'signed-in',
    params: ById,
    result: Stack,
  },
})
