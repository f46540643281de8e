import { cpus } from 'node:os'
import { benchBackup } from './backup.ts'
import { benchContainerBackup } from './container-backup.ts'
import { benchClone } from './clone.ts'
import { benchCommandLine } from './command-line.ts'
import { domainStart } from './domain-start.ts'
import { benchAudit } from './audit.ts'
import { benchAuth } from './auth.ts'
import { domainStats } from './domain-stats.ts'
import { benchContainers } from './containers.ts'
import { benchDrain } from './drain.ts'
import { benchEvents } from './events.ts'
import { print, type Row } from './figures.ts'
import { benchGateway } from './gateway.ts'
import { benchIdle } from './idle.ts'
import { benchImport } from './import.ts'
import { benchFailover } from './failover.ts'
import { benchFleet } from './fleet.ts'
import { benchHang } from './hang.ts'
import { benchLatency } from './latency.ts'
import { benchMetrics } from './metrics.ts'
import { benchMigrate } from './migrate.ts'
import { benchPolicies } from './policies.ts'
import { benchReplication } from './replication.ts'
import { benchRights } from './rights.ts'
import { benchSeparate } from './separate.ts'
import { benchSnapshot } from './snapshot.ts'
import { benchSnapshotList } from './snapshot-list.ts'
import { benchStart } from './start-time.ts'

/** Every benchmark by its name on the command line. Each measures the things that it compares in one run. */
const benchmarks: Record<string, () => Promise<Row[]>> = {
  gateway: benchGateway,
  rights: benchRights,
  auth: benchAuth,
  audit: benchAudit,
  events: benchEvents,
  'domain-start': domainStart,
  'domain-stats': domainStats,
  backup: benchBackup,
  'container-backup': benchContainerBackup,
  replication: benchReplication,
  clone: benchClone,
  import: benchImport,
  containers: benchContainers,
  snapshot: benchSnapshot,
  'snapshot-list': benchSnapshotList,
  start: benchStart,
  latency: benchLatency,
  failover: benchFailover,
  hang: benchHang,
  separate: benchSeparate,
  idle: benchIdle,
  metrics: benchMetrics,
  migrate: benchMigrate,
  policies: benchPolicies,
  drain: benchDrain,
  'command-line': benchCommandLine,
  fleet: benchFleet,
}

/** Runs the benchmarks that are named, or all. @returns the exit code */
export async function main(words: string[]): Promise<number> {
  const unknown = words.filter((word) => !(word in benchmarks))
  if (unknown.length > 0) {
    process.stderr.write(
      `There is no benchmark ${unknown.join(', ')}; there are ${Object.keys(benchmarks).join(', ')}\n`,
    )
    return 2
  }
  process.stdout.write(
    `node ${process.version}, ${cpus().length} processors. Ratios hold from machine to machine, times do not.\n`,
  )
  for (const [name, run] of Object.entries(benchmarks)) {
    if (words.length > 0 && !words.includes(name)) continue
    process.stdout.write(`\n${name}\n`)
    print(await run())
  }
  return 0
}
