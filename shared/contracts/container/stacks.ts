import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import {
  ById,
  Done,
  Id,
  ListQuery,
  localNode,
  nullable,
  oneOf,
  Page,
  record,
  strict,
  Version,
} from '#shared/contracts/common.ts'
import { ContainerStatus, Grace, newRuntime, Runtime } from '#shared/contracts/container/parts.ts'

const Member = strict({
  id: Id,
  name: Type.String(),
  service: nullable(Type.String({ description: 'The service of the project that it is of' })),
  status: ContainerStatus,
})

export const Stack = record('name status runtime node managed id')({
  id: Id,
  name: Type.String({ description: "The project's name" }),
  node: Id,
  runtime: Runtime,
  managed: Type.Boolean({ description: 'False for a project that others have brought up: it is only shown' }),
  status: oneOf('running', 'partial', 'stopped', 'unknown'),
  services: Type.Array(
    strict({
      name: Type.String(),
      scale: nullable(Type.Integer({ description: 'Containers that its file wants; null without a file' })),
      containers: Type.Integer({ description: 'Those that the caller may see' }),
      running: Type.Integer(),
    }),
  ),
  containers: Type.Array(Member, { description: 'Those that the caller may see' }),
  version: nullable(Version),
})
export type Stack = Static<typeof Stack>

const StackName = Type.String({
  examples: ['shop'],
  pattern: '^[a-z0-9][a-z0-9_-]{0,62}$',
  errorMessage: 'must be 1 to 63 small letters, digits, _ and -, and begin with a letter or digit',
})

const ComposeFile = Type.String({
  minLength: 1,
  maxLength: 262_144,
  description: 'A Compose file in YAML, at most 256 KiB',
})

const ServiceChange = strict({
  name: Type.String(),
  action: oneOf('create', 'recreate', 'scale', 'start', 'keep', 'remove'),
  containers: Type.Integer({ description: 'Containers of it that are there now' }),
  scale: Type.Integer({ description: 'Containers of it afterwards' }),
  reason: Type.String(),
})
export type ServiceChange = Static<typeof ServiceChange>

const Owned = strict({ name: Type.String(), action: oneOf('create', 'keep', 'remove') })

export const StackPlan = strict({
  stack: Id,
  services: Type.Array(ServiceChange),
  volumes: Type.Array(Owned, { description: 'Of the project, by the names that the engine has' }),
  networks: Type.Array(Owned),
  plan_id: Type.String({ description: 'For the header `If-Plan`' }),
})
export type StackPlan = Static<typeof StackPlan>

const plan = Type.Boolean({ default: false, description: 'Answer with the plan, and change nothing' })
const watch = Type.Integer({
  minimum: 0,
  maximum: 300,
  default: 3,
  'x-unit': 'seconds',
  description: 'Seconds that its containers must stay up; one that ends with exit code 0 is fine',
})
/** The containers of a Compose project on one engine are a stack. */
export const stacks = contract('stacks', {
  list: {
    does: 'List the stacks: containers that belong to one Compose project',
    rest: 'GET /stacks',
    can: 'signed-in',
    params: ListQuery('name', 'node', 'runtime', 'status', 'managed'),
    result: Page(Stack),
  },
  get: {
    does: 'Get a stack',
    rest: 'GET /stacks/{id}',
    can: 'signed-in',
    params: ById,
    result: Stack,
    computed: true,
  },
  config: {
    does: 'Read the Compose file of a stack, as it was given',
    rest: 'GET /stacks/{id}/config',
    can: 'ContainerConfig on /api/stacks/{id}',
    params: ById,
    result: strict({ compose_file: Type.String() }),
  },
  create: {
    does: 'Bring up a Compose project; with plan, tell what would be made. A failure takes it down again',
    rest: 'POST /stacks',
    can: 'ContainerAllocate on /api/stacks',
    operation: true,
    audit: 'container_created',
    plan: StackPlan,
    params: strict({
      name: StackName,
      node: Type.String({ ...Id, default: localNode }),
      runtime: newRuntime,
      compose_file: ComposeFile,
      watch,
      plan,
    }),
    result: Stack,
    secret: ['compose_file'],
  },
  update: {
    does: 'Bring a stack to another Compose file; with plan, tell what would change. A failure brings up the former file',
    rest: 'PATCH /stacks/{id}',
    can: 'ContainerAllocate on /api/stacks/{id}',
    operation: true,
    audit: 'container_config_changed',
    plan: StackPlan,
    params: strict({ id: Id, compose_file: ComposeFile, timeout: Grace, watch, plan }),
    result: Stack,
    secret: ['compose_file'],
  },
  delete: {
    does: 'Take down a stack: its containers and networks, and with volumes its volumes; with plan, tell what would go',
    rest: 'DELETE /stacks/{id}',
    can: 'ContainerAllocate on /api/stacks/{id}',
    operation: true,
    audit: 'container_deleted',
    plan: StackPlan,
    params: strict({
      id: Id,
      volumes: Type.Boolean({ default: false, description: 'Remove its volumes too' }),
      timeout: Grace,
      plan,
    }),
    result: Done,
  },
})
