import { UnavailableError, ConflictError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'

/** Folder of Debian's package containernetworking-plugins. */
const folder = '/usr/lib/cni'

/** Versions of the specification that this caller knows, best first. */
const versions = ['1.1.0', '1.0.0', '0.4.0']

export type PluginConfig = { type: string; capabilities?: Record<string, boolean>; [key: string]: unknown }

/** A network as its plug-ins get it: a chain that an ADD runs forward and a DEL in reverse. */
export type NetworkConfig = { name: string; plugins: PluginConfig[] }

export type PortMapping = { hostPort: number; containerPort: number; protocol: string; hostIP?: string }

/** Values for plug-ins that declare the capability. */
export type Capabilities = { ips?: string[]; mac?: string; portMappings?: PortMapping[] }

/** The result of an ADD, as far as it is read here; the rest is kept and handed back to the plug-ins. */
export type CniResult = {
  cniVersion: string
  ips?: { address: string; gateway?: string; interface?: number }[]
  interfaces?: { name: string; mac?: string; sandbox?: string }[]
  [key: string]: unknown
}

/** All that a DEL needs, which is what the ADD was given. */
export type Attaching = {
  cniVersion: string
  config: NetworkConfig
  container: string
  ifname: string
  /** Path of the network namespace; an empty one after it has gone. */
  netns: string
  capabilities: Capabilities
}

type Failure = { code?: number; msg?: string; details?: string }

/** Code of a plug-in that could not do it now: `try again later`. */
const tryAgain = 11

function failureOf(plugin: string, command: string, stdout: string, stderr: string): Error {
  let failure: Failure = {}
  try {
    failure = JSON.parse(stdout) as Failure
  } catch {
    // A plug-in that crashed writes no JSON.
  }
  const said = [failure.msg, failure.details].filter(Boolean).join(': ') || stderr.trim().slice(-500) || 'no reason'
  const message = `CNI plug-in ${plugin} failed to ${command}: ${said}`
  return failure.code === tryAgain ? new UnavailableError(message) : new ConflictError(message)
}

type Command = 'ADD' | 'DEL' | 'CHECK'

async function run(host: Host, command: Command, plugin: PluginConfig, about: Attaching, prevResult?: CniResult) {
  const { cniVersion, config, container, ifname, netns, capabilities } = about
  const wanted = Object.entries(capabilities).filter(([name]) => plugin.capabilities?.[name])
  const input = {
    ...plugin,
    cniVersion,
    name: config.name,
    ...(wanted.length > 0 && { runtimeConfig: Object.fromEntries(wanted) }),
    ...(prevResult && { prevResult }),
  }
  const env = {
    CNI_COMMAND: command,
    CNI_CONTAINERID: container,
    CNI_IFNAME: ifname,
    CNI_NETNS: netns,
    CNI_PATH: folder,
  }
  const { code, stdout, stderr } = await host.run(`${folder}/${plugin.type}`, [], { env, input: JSON.stringify(input) })
  if (code !== 0) throw failureOf(plugin.type, command, stdout, stderr)
  return stdout.trim() === '' ? null : (JSON.parse(stdout) as CniResult)
}

/**
 * The best version that this caller and all plug-ins of a chain know.
 * @throws UnavailableError for a missing plug-in, ConflictError when there is no common version
 */
export async function versionFor(host: Host, types: readonly string[]): Promise<string> {
  const known = await Promise.all(
    [...new Set(types)].map(async (type) => {
      const { code, stdout, stderr } = await host.run(`${folder}/${type}`, [], {
        env: { CNI_COMMAND: 'VERSION', CNI_PATH: folder },
        input: JSON.stringify({ cniVersion: versions.at(-1) }),
      })
      if (code !== 0) throw failureOf(type, 'VERSION', stdout, stderr)
      return new Set((JSON.parse(stdout) as { supportedVersions: string[] }).supportedVersions)
    }),
  )
  const best = versions.find((version) => known.every((one) => one.has(version)))
  if (!best) throw new ConflictError(`The CNI plug-ins ${types.join(', ')} have no version in common with Horcrux`)
  return best
}

/**
 * Attaches a container: runs the chain forward. A chain that fails is taken back.
 * @returns the result of the last plug-in, which a DEL needs
 */
export async function add(host: Host, about: Attaching): Promise<CniResult> {
  let result: CniResult | undefined
  try {
    for (const plugin of about.config.plugins) result = (await run(host, 'ADD', plugin, about, result)) ?? undefined
    if (!result) throw new ConflictError(`The network '${about.config.name}' gave no result`)
    return result
  } catch (error) {
    await remove(host, about, result).catch(() => {}) // the first error is the one that counts
    throw error
  }
}

/**
 * Detaches a container: runs the chain in reverse, with the result of its ADD if there is one. All plug-ins are run, also
 * after a failure; doing it twice is fine.
 */
export async function remove(host: Host, about: Attaching, result?: CniResult): Promise<void> {
  const failed: unknown[] = []
  for (const plugin of about.config.plugins.toReversed())
    await run(host, 'DEL', plugin, about, result).catch((error: unknown) => failed.push(error))
  if (failed.length > 0) throw failed[0]
}

/** Verifies an attachment. @throws ConflictError that says what is missing */
export async function check(host: Host, about: Attaching, result: CniResult): Promise<void> {
  for (const plugin of about.config.plugins) await run(host, 'CHECK', plugin, about, result)
}
