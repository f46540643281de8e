import { randomUUID } from 'node:crypto'
import type { Host } from '#shared/nodes/host/host.ts'
import type { Flow } from '../world.ts'

/** The largest ruleset of some ten thousand endpoints takes seconds under load. */
const timeoutMs = 60_000

/** Gives nft one input: it is one transaction, so all of it takes effect at one moment, or none. @throws CommandError */
export async function applyText(host: Host, text: string): Promise<void> {
  if (text !== '') await host.runChecked('nft', ['-f', '-'], { input: text, timeoutMs })
}

/** Asks the kernel of a node if it takes such a transaction, which changes nothing. @returns the words of its refusal */
export async function refusalOf(host: Host, text: string): Promise<string | null> {
  const { code, stderr } = await host.run('nft', ['--check', '-f', '-'], { input: text, timeoutMs })
  return code === 0 ? null : stderr.trim().split('\n').slice(0, 3).join(' ') || `nft ended with exit code ${code}`
}

/** A connection that the kernel tracks, with the tuple that its packets have in the table `forward`. */
export type Tracked = Flow & { fromPort: number | null; toPort: number | null }

const fields = (text: string, name: string) =>
  [...text.matchAll(new RegExp(String.raw`\b${name}=(\S+)`, 'g'))].map(([, value]) => value!)

/** Reads a line of `conntrack -L -o extended`. The destination after port mapping is the source of the answer. */
export function parseTracked(line: string): Tracked | null {
  const [, protocol] = /^ipv[46]\s+\d+\s+(\S+)/.exec(line) ?? []
  const [[from, to], sports, dports] = [fields(line, 'src'), fields(line, 'sport'), fields(line, 'dport')]
  if (!protocol || !from || !to || !fields(line, 'dst')[0]) return null
  const port = (text: string | undefined) => (text === undefined ? null : Number(text))
  const toPort = port(sports[1])
  return { from, to, protocol, port: toPort, fromPort: port(sports[0] ?? dports[0]), toPort }
}

/** All connections that a node tracks. */
export async function trackedFlows(host: Host): Promise<Tracked[]> {
  const { stdout } = await host.runChecked('conntrack', ['-L', '-o', 'extended'], { maxOutputBytes: 256 * 1024 * 1024 })
  return stdout.split('\n').flatMap((line) => parseTracked(line) ?? [])
}

const family = (address: string) => (address.includes(':') ? 6 : 4)

/** Elements of the sets `cut`: packets of these flows are dropped in both directions. */
function cutText(flows: readonly Tracked[]): string {
  const both = flows.flatMap(({ from, to, protocol, fromPort, toPort }) => [
    { of: family(from), text: `${from} . ${to} . ${protocol} . ${fromPort} . ${toPort}` },
    { of: family(from), text: `${to} . ${from} . ${protocol} . ${toPort} . ${fromPort}` },
  ])
  return [...Map.groupBy(both, ({ of }) => of)]
    .map(
      ([of, all]) => `add element inet horcrux cut${of} { ${[...new Set(all.map(({ text }) => text))].join(', ')} }\n`,
    )
    .join('')
}

/**
 * A command that deletes the entries of a flow, by the sources of both directions, which port mapping does not change. All
 * flows to a port of an address are judged alike.
 */
function deletion({ from, to, protocol, toPort }: Tracked): string {
  const port = toPort === null ? '' : ` --reply-port-src ${toPort}`
  return `-D -f ipv${family(from)} -p ${protocol} -s ${from} -r ${to}${port}\n`
}

const hasPorts = ({ fromPort, toPort }: Tracked) => fromPort !== null && toPort !== null

/**
 * Ends connections. Their packets are dropped first, in both directions, so that a packet on its way does not begin the
 * connection anew in the other direction; then the kernel forgets them.
 */
export async function cut(host: Host, flows: readonly Tracked[]): Promise<void> {
  if (flows.length === 0) return
  await applyText(host, cutText(flows.filter(hasPorts)))
  // conntrack cannot read commands from a socket, which standard input is here.
  const path = `/run/horcrux-conntrack-${randomUUID()}`
  try {
    await host.writeFile(path, [...new Set(flows.map(deletion))].join(''), { mode: 0o600 })
    await host.runChecked('conntrack', ['-R', path])
  } finally {
    await host.remove(path)
  }
}
