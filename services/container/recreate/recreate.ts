import { requireRight } from '#shared/access/require-right.ts'
import type { Params } from '#shared/contract/contract.ts'
import type { Container, containers } from '#shared/contracts/container/containers.ts'
import type { Violation } from '#shared/errors.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { type Accepting, type Op, operation } from '#shared/operation/kinds.ts'
import { throwAll } from '#shared/service/violations.ts'
import type { Changes } from '../drivers/parts.ts'
import { contradictions, lacking, takenPorts } from '../lifecycle/create.ts'
import { resolveMounts, waysToNode } from '../lifecycle/mounts.ts'
import { apiPathOf, type ContainerRecord, containerRecords, nameKeyOf, viewOf } from '../model.ts'
import { asideOf, exchange, recreationOf } from './exchange.ts'
import { requireStatus, settle, settledForChange } from '../state/settle.ts'

type Given = Params<typeof containers, 'recreate'>
type Input = { id: string; timeout: number; watch: number; changes: Changes; isRunning: boolean; aside: string }

async function changesOf(given: Given, container: ContainerRecord, violations: Violation[]): Promise<Changes> {
  const { id: _id, timeout: _timeout, watch: _watch, mounts, ...plain } = given
  const { runtime, node, name, id } = container
  violations.push(
    ...contradictions({ ...plain, name, runtime }),
    ...lacking(runtime, { ...plain, mounts }),
    ...(await takenPorts({ node, ports: plain.ports, except: id })),
  )
  if (mounts === undefined) return plain
  return { ...plain, mounts: await resolveMounts(await reach(node), mounts, violations) }
}

async function accept(given: Given, accepting: Accepting): Promise<Input> {
  const { id, timeout, watch } = given
  await accepting.hold(apiPathOf(id))
  const container = await settledForChange(id, 'recreate')
  requireStatus(container, 'recreate', ['running', 'stopped'])
  const recreation = recreationOf(container)
  if ((await waysToNode(await reach(container.node), container)).length > 0)
    requireRight(accepting, 'ContainerPrivileged', apiPathOf(id))
  await accepting.reserve(nameKeyOf(container))
  const violations: Violation[] = []
  const changes = await changesOf(given, container, violations)
  violations.push(...(await recreation.check(container, changes)))
  throwAll(violations)
  const aside = asideOf(accepting.operationId)
  return { id, timeout, watch, changes, isRunning: container.status === 'running', aside }
}

async function run(op: Op, { id, timeout, watch, changes, isRunning, aside }: Input): Promise<Container> {
  const before = await op.step('reading container', async () => containerRecords.require(id))
  await exchange(op, before, { changes, wasRunning: isRunning, isStarted: isRunning, timeout, watch, aside })
  return viewOf(await settle(id))
}

export const recreate = operation({ accept, run })
