import { setTimeout as delay } from 'node:timers/promises'
import type { EngineConfig } from '#shared/contracts/cluster/nodes.ts'
import { NotFoundError, UnavailableError } from '#shared/errors.ts'
import { type Engine, type EngineDriver, healthBy } from '../engine.ts'
import { eventFeed } from '../event-feed.ts'
import { hierarchiesOf } from '../host/cgroup/hierarchies.ts'
import type { Host } from '../host/host.ts'

type Config = NonNullable<EngineConfig['lxc']>

export type LxcEngine = Engine & {
  /** The folder of the containers: each has a folder of its name, with its `config`. */
  folder: string
}

/** LXC's own folder of containers. */
const usualFolder = '/var/lib/lxc'
/** Time between two looks: LXC has no events without a daemon of its own that outlives its client. */
const lookEveryMs = 500
const absentEveryMs = 5000
/** The version of the tools is asked this often: it changes with a package. */
const versionEveryMs = 60_000

export const lxcOf = ({ engine }: { engine: (kind: 'lxc') => LxcEngine }): LxcEngine => engine('lxc')

const prefix = 'lxc.payload.'

/** LXC of a node: its tools, its folder, and the control groups of its containers. */
export const lxc: EngineDriver<Config, LxcEngine> = {
  connect: ({ node, host, config }) => {
    const folder = config?.path ?? usualFolder
    const name = `LXC on node '${node}'`
    const isThere = async () => (await host.which('lxc-start')) !== null
    let known: { version: string; askedAt: number } | undefined
    const facts = async () => {
      if (!(await isThere())) throw new UnavailableError(`${name} is not there`, { retryAfterSeconds: 30 })
      if (!known || performance.now() - known.askedAt > versionEveryMs) {
        const { stdout } = await host.runChecked('lxc-start', ['--version'])
        known = { version: stdout.trim(), askedAt: performance.now() }
      }
      return { version: known.version, components: {} }
    }
    const whyAbsent = async () => ((await isThere()) ? null : 'LXC is not there: no lxc-start on the PATH')
    const events = polledEvents(() => signsOf(host, folder), isThere, name)
    return {
      folder,
      facts,
      health: () => healthBy(facts, whyAbsent),
      events: events.subscribe,
      isConnected: events.isConnected,
      close: async () => events.close(),
    }
  },
}

/** The names in the folder, each with a text that changes when the container starts, stops, freezes or thaws. */
async function signsOf(host: Host, folder: string): Promise<Map<string, string>> {
  const running = await runningOf(host)
  const names = await host.list(folder).catch((error: unknown) => {
    if (error instanceof NotFoundError) return []
    throw error
  })
  return new Map(
    names.filter(({ kind }) => kind === 'directory').map(({ name }) => [name, running.get(name) ?? 'stopped'] as const),
  )
}

/** The running containers, by their control groups: in the hierarchy of the freezer in version 1, in the one of version 2. */
async function runningOf(host: Host): Promise<Map<string, string>> {
  const { version1, version2 } = await hierarchiesOf(host)
  for (const hierarchy of [version1.get('freezer'), version2]) {
    if (!hierarchy) continue
    const cgroups = hierarchy.path
    const found = (await host.list(cgroups).catch(() => [])).filter(({ name }) => name.startsWith(prefix))
    if (found.length === 0) continue
    const states = found.map(async ({ name }) => {
      const path = `${cgroups}/${name}`
      const state = await Promise.any(
        ['freezer.state', 'cgroup.freeze'].map(async (file) => (await host.readFile(`${path}/${file}`)).toString()),
      ).catch(() => '')
      return [name.slice(prefix.length), `running ${state.trim()}`] as const
    })
    return new Map(await Promise.all(states))
  }
  return new Map()
}

/** Events by comparison: each look is compared with the one before. */
function polledEvents(look: () => Promise<Map<string, string>>, isThere: () => Promise<boolean>, name: string) {
  return eventFeed(async (feed, signal) => {
    let isPresent = false
    let before: Map<string, string> = new Map()
    const compare = (now: Map<string, string>) => {
      if (!feed.isOpen()) feed.open()
      else
        for (const id of new Set([...now.keys(), ...before.keys()])) {
          const change = now.get(id) ?? 'removed'
          if (before.get(id) !== change) feed.tell({ kind: 'object', id, change })
        }
      before = now
    }
    while (!signal.aborted) {
      isPresent ||= await isThere().catch(() => false)
      const now = isPresent && (await look().catch(() => null))
      if (signal.aborted) return
      if (now) compare(now)
      else feed.lose(name)
      await delay(isPresent ? lookEveryMs : absentEveryMs, undefined, { signal }).catch(() => undefined)
    }
  })
}
