import { createInterface } from 'node:readline'
import { join } from 'node:path'
import type { Host, HostProcess } from '#shared/nodes/host/host.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { available } from '../requirements.ts'

/** A node with a bridge, endpoints on it, and a machine outside, each a network namespace of this test. */
export type Lab = {
  /** The node: its commands run in its namespace. */
  node: Host
  /** Runs a program in the namespace of an endpoint, of `outside` or of the node (`''`). */
  inside: (name: string) => Host
  /** Adds an endpoint to the bridge. Its port on the bridge is `pNAME`. */
  attach: (name: string, addresses: readonly string[]) => Promise<void>
  /** Adds a namespace without a link to the node. @returns its path */
  empty: (name: string) => Promise<string>
  drop: (name: string) => Promise<void>
  down: () => Promise<void>
}

const programs = ['ip', 'nft', 'conntrack', 'busybox', 'python3']

export async function canRun(): Promise<boolean> {
  const found = await Promise.all(programs.map(async (name) => ((await localHost().which(name)) ? [] : [name])))
  return available('nftables', [...found.flat(), ...(process.getuid?.() === 0 ? [] : ['root'])])
}

/** A host whose programs run in a network namespace. */
const within = (host: Host, namespace: string): Host => ({
  ...host,
  run: (program, args, options) => host.run('ip', ['netns', 'exec', namespace, program, ...args], options),
  runChecked: (program, args, options) =>
    host.runChecked('ip', ['netns', 'exec', namespace, program, ...args], options),
  spawn: (program, args, options) => host.spawn('ip', ['netns', 'exec', namespace, program, ...args], options),
})

let labs = 0

export const onBridge = { node: ['10.88.0.1/16', 'fd88::1/64'], outside: ['203.0.113.1/24', '2001:db8::1/64'] }

/** The node forwards between its bridge and the machine outside. */
export async function startLab(): Promise<Lab> {
  const prefix = `hxp${process.pid}-${++labs}`
  const host = localHost()
  const nameOf = (name: string) => `${prefix}${name && `-${name}`}`
  const inside = (name: string) => within(host, nameOf(name))
  const made: string[] = []
  const ip = (name: string, ...words: string[]) => inside(name).runChecked('ip', words)
  const add = async (name: string) => {
    await host.runChecked('ip', ['netns', 'add', nameOf(name)])
    made.push(nameOf(name))
    await ip(name, 'link', 'set', 'lo', 'up')
    // Duplicate address detection would keep an address from being used for a second.
    for (const key of ['net.ipv6.conf.all.accept_dad=0', 'net.ipv6.conf.default.accept_dad=0'])
      await inside(name).runChecked('sysctl', ['-qw', key])
  }
  const link = async (name: string, port: string) => {
    await add(name)
    await ip('', 'link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', nameOf(name))
    await ip('', 'link', 'set', port, 'up')
    await ip(name, 'link', 'set', 'eth0', 'up')
  }
  await add('')
  for (const key of ['net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1'])
    await inside('').runChecked('sysctl', ['-qw', key])
  await ip('', 'link', 'add', 'br0', 'type', 'bridge')
  await ip('', 'link', 'set', 'br0', 'up')
  for (const address of onBridge.node) await ip('', 'address', 'add', address, 'dev', 'br0')
  await link('outside', 'up0')
  for (const address of onBridge.outside) await ip('', 'address', 'add', address, 'dev', 'up0')
  for (const address of ['203.0.113.9/24', '2001:db8::9/64'])
    await ip('outside', 'address', 'add', address, 'dev', 'eth0')
  await ip('outside', 'route', 'add', 'default', 'via', '203.0.113.1')
  await ip('outside', '-6', 'route', 'add', 'default', 'via', '2001:db8::1')
  return {
    node: inside(''),
    inside,
    attach: async (name, addresses) => {
      await link(name, `p${name}`)
      await ip('', 'link', 'set', `p${name}`, 'master', 'br0')
      for (const address of addresses) {
        const isSix = address.includes(':')
        await ip(name, 'address', 'add', `${address}/${isSix ? 64 : 16}`, 'dev', 'eth0')
        await ip(name, ...(isSix ? ['-6'] : []), 'route', 'replace', 'default', 'via', isSix ? 'fd88::1' : '10.88.0.1')
      }
    },
    empty: async (name) => {
      await add(name)
      return `/run/netns/${nameOf(name)}`
    },
    drop: async (name) => {
      await host.runChecked('ip', ['netns', 'delete', nameOf(name)])
      made.splice(made.indexOf(nameOf(name)), 1)
    },
    down: async () => {
      for (const name of made.toReversed()) await host.run('ip', ['netns', 'delete', name])
    },
  }
}

export type Packet = [source: string, target: string, protocol: string, sourcePort: number, targetPort: number]
export type Heard = [source: string, protocol: string, sourcePort: number]
export type Probe = {
  send: (packets: Packet[]) => Promise<void>
  heard: () => Promise<Heard[]>
  end: () => Promise<void>
}

/** Time without a packet after which all have arrived: they travel within one machine. */
const quietSeconds = 0.15

/** Starts a Python program of this folder that answers each line with a line. */
async function startScript(host: Host, script: string) {
  const child: HostProcess = await host.spawn('python3', [join(import.meta.dirname, script)])
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    ask: async (command: unknown): Promise<unknown> => {
      child.stdin.write(`${JSON.stringify(command)}\n`)
      const { value, done } = await lines.next()
      if (done) throw new Error(`${script} has ended: ${(await child.exit).stderr}`)
      return JSON.parse(value)
    },
    end: () => child.kill(),
  }
}

/** Sends and hears packets in a namespace. */
export async function startProbe(host: Host): Promise<Probe> {
  const { ask, end } = await startScript(host, 'probe.py')
  return {
    send: async (packets) => void (await ask({ send: packets })),
    heard: async () => (await ask({ heard: quietSeconds })) as Heard[],
    end,
  }
}

export type Talker = {
  /** Echoes TCP and UDP on a port. */
  serve: (port: number) => Promise<void>
  /** Opens a connection. @returns true when an echo came back */
  open: (name: string, protocol: 'tcp' | 'udp', address: string, port: number) => Promise<boolean>
  /** @returns true when an echo comes back on the connection */
  say: (name: string) => Promise<boolean>
  count: (ports: number[]) => Promise<void>
  counted: () => Promise<Record<string, number>>
  /** Sends datagrams to ports in turn. @returns the number sent to each */
  flood: (address: string, ports: number[], how: { rate: number; seconds: number }) => Promise<Record<string, number>>
  /** Seconds that UDP round trips take, of the fastest tenth: others are interrupted by the rest of the machine. */
  rounds: (address: string, port: number, count: number) => Promise<number>
  end: () => Promise<void>
}

/** Talks over sockets in a namespace. */
export async function startTalker(host: Host): Promise<Talker> {
  const { ask, end } = await startScript(host, 'talk.py')
  return {
    serve: async (port) => void (await ask(['serve', port])),
    open: async (...words) => (await ask(['open', ...words])) as boolean,
    say: async (name) => (await ask(['say', name])) as boolean,
    count: async (ports) => void (await ask(['count', ports])),
    counted: async () => (await ask(['counted'])) as Record<string, number>,
    rounds: async (...words) => (await ask(['rounds', ...words])) as number,
    flood: async (address, ports, { rate, seconds }) =>
      (await ask(['flood', address, ports, rate, seconds])) as Record<string, number>,
    end,
  }
}
