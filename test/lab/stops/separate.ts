import { join as path } from 'node:path'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import type { LabHost } from '../hosts/hosts.ts'
import { ask, type Answered } from '../clients/http.ts'
import { type Deployment, startDeployment } from '../product/deployment.ts'
import { join, type Joined } from '../product/join.ts'
import { done } from '../product/run-operation.ts'
import { repository } from '../repository.ts'
import { asNode } from '../faults/scenarios.ts'

/** Separate processes with separate identities on a lab host, with this process on their bus. */
export type Separate = Joined & {
  deployment: Deployment
  /** A request of admin to one of the gateways, with a key that outlives a token. */
  ask: (line: string, asked?: Parameters<typeof ask>[2], gateway?: number) => Promise<Answered>
  key: string
}

/** Starts them, registers the host as hv1, and makes the storage pool `images` there. @param leaseSeconds of operations */
export async function startSeparate(
  host: LabHost,
  {
    replicas,
    leaseSeconds = 15,
    isOrdinary = false,
  }: {
    replicas: number
    leaseSeconds?: number
    /** With the programs of the services as they are, which stop nobody. */
    isOrdinary?: boolean
  },
): Promise<Separate> {
  const deployment = await startDeployment({
    replicas,
    gateways: replicas,
    env: { HORCRUX_LEASE_SECONDS: String(leaseSeconds) },
    ...(!isOrdinary && { program: (name) => [path(repository, 'test/lab/stops/stopping-service.ts'), name] }),
  })
  try {
    const { gateways, token } = deployment
    const joined = await join(deployment)
    const stop = async () => {
      await joined.stop()
      await deployment.stop()
    }
    await joined.broker.waitForServices(['nodes', 'pools', 'vms', 'roles', 'audit'])
    await done(joined, nodes, 'register', asNode('hv1', host))
    const pool = { id: 'images', type: 'dir', node: 'hv1', path: '/var/lib/libvirt/images/pool' }
    // The first use of a host on a machine that has just started many processes.
    await joined.call(pools, 'create', pool, { timeoutMs: 60_000 })
    const made = await ask(gateways[0]!.url, 'POST /api/users/admin/api-keys', { token, json: { name: 'tests' } })
    const key = String(made.body['key'])
    return {
      ...joined,
      deployment,
      key,
      ask: (line, asked, gateway = 0) => ask(gateways[gateway]!.url, line, { token: key, ...asked }),
      stop,
    }
  } catch (error) {
    await deployment.stop()
    throw error
  }
}
