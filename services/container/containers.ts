import { containers } from '#shared/contracts/container/containers.ts'
import { viewsOf } from '#shared/db/cache/views.ts'
import { now } from '#shared/events/event.ts'
import { implement } from '#shared/service/implement.ts'
import { clone } from './copies/clone.ts'
import { commit } from './copies/commit.ts'
import { exec } from './exec/exec.ts'
import { adopt } from './lifecycle/adopt.ts'
import { create } from './lifecycle/create.ts'
import { remove } from './lifecycle/delete.ts'
import { pause, restart, resume, start, stop } from './lifecycle/power.ts'
import { update } from './lifecycle/update.ts'
import { readLogs } from './logs/logs.ts'
import { containerRecords, viewOf } from './model.ts'
import { recreate } from './recreate/recreate.ts'
import { settle } from './state/settle.ts'
import { measureContainers } from './stats/measure.ts'
import { watched } from './stats/watched.ts'

const views = viewsOf(containerRecords, viewOf)

export const containerActions = implement(containers, {
  list: (query, { maySee }) => views.list(query, maySee),
  get: ({ id }) => views.require(id),
  status: async ({ id }) => {
    const { status, status_reason } = await settle(id)
    return { status, status_reason, timestamp: now() }
  },
  logs: readLogs,
  watched,
  measure: measureContainers,
  create,
  update,
  start,
  stop,
  restart,
  pause,
  resume,
  exec,
  adopt,
  recreate,
  clone,
  commit,
  delete: remove,
})
