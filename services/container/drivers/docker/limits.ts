import type { Limits } from '#shared/contracts/container/parts.ts'
import type { DockerKind } from '#shared/nodes/docker/engine.ts'
import { memoryOf, nanosPerSecond } from './definition.ts'

type Request = { path: string; body: object }

const mib = 2 ** 20
const periodMicros = 100_000

/** The request that changes limits: Podman has none of Docker's API for it, and takes those of the runtime (OCI). */
export const limitsRequest: Record<DockerKind, (id: string, wanted: Partial<Limits>) => Request> = {
  docker: (id, { memory, cpus, pids }) => ({
    path: `/containers/${id}/update`,
    body: {
      ...(memory && memoryOf(memory)),
      ...(cpus && { NanoCpus: Math.round(cpus * nanosPerSecond) }),
      ...(pids !== undefined && { PidsLimit: pids ?? -1 }),
    },
  }),
  podman: (id, { memory, cpus, pids }) => ({
    path: `/v4.0.0/libpod/containers/${id}/update`,
    body: {
      ...(memory && { memory: { limit: memory * mib, swap: memory * mib } }),
      ...(cpus && { cpu: { quota: Math.round(cpus * periodMicros), period: periodMicros } }),
      ...(pids !== undefined && { pids: { limit: pids ?? -1 } }),
    },
  }),
}
