import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { containers, type Container } from '#shared/contracts/container/containers.ts'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { asNode } from '../faults/scenarios.ts'
import type { LabHost } from '../hosts/hosts.ts'
import type { TestHorcrux } from '../product/horcrux.ts'
import { done } from '../product/run-operation.ts'

/** Folder of the root file system, as the lab host sees it. */
const stateDir = '/var/lib/horcrux'
/** LXC's folder on the lab host. */
export const lxcFolder = `${stateDir}/lxc`

/** A root file system of busybox, with an init that ends when it is told to. */
export async function makeArchive({ stateDir: folder }: LabHost): Promise<string> {
  const machine = localHost()
  const root = await mkdtemp(join(tmpdir(), 'horcrux-root-'))
  for (const name of ['bin', 'sbin', 'etc', 'proc', 'sys', 'dev', 'tmp', 'root', 'run'])
    await machine.mkdir(join(root, name))
  await machine.runChecked('cp', [(await machine.which('busybox'))!, join(root, 'bin/busybox')])
  for (const applet of ['sh', 'sleep']) await machine.runChecked('ln', ['-s', 'busybox', join(root, 'bin', applet)])
  const init = "#!/bin/sh\ntrap 'exit 0' PWR TERM INT\nwhile :; do sleep 0.1; done\n"
  await machine.writeFile(join(root, 'sbin/init'), init, { mode: 0o755 })
  await machine.runChecked('tar', ['-C', root, '-cf', join(folder, 'tiny.tar'), '.'])
  await machine.remove(root, { recursive: true })
  return `${stateDir}/tiny.tar`
}

export type PolicyNode = {
  id: string
  /** Makes a running container without a network. */
  run: (name: string, labels?: Record<string, string>) => Promise<Container>
  act: (action: 'start' | 'stop', id: string) => Promise<Container>
  /** Runs programs in the network namespace of a container, or of the node (null). */
  inside: (container: Container | null) => Promise<Host>
}

const within = (words: string[]): Host => {
  const host = localHost()
  const [program, ...first] = words
  return {
    ...host,
    run: (name, args, options) => host.run(program!, [...first, name, ...args], options),
    runChecked: (name, args, options) => host.runChecked(program!, [...first, name, ...args], options),
    spawn: (name, args, options) => host.spawn(program!, [...first, name, ...args], options),
  }
}

/** Adds a lab host as a node with LXC: its rules, bridges and containers are in its network namespace, not in the machine's. */
export async function addPolicyNode(horcrux: TestHorcrux, lab: LabHost, id: string): Promise<PolicyNode> {
  const archive = await makeArchive(lab)
  await done(horcrux, nodes, 'register', {
    ...asNode(id, lab),
    engine_config: { lxc: { path: lxcFolder } },
  })
  const machine = localHost()
  return {
    id,
    run: async (name, labels = {}) => {
      const params = { id: name, name, runtime: 'lxc', node: id, rootfs: archive, labels, start: true }
      return (await done(horcrux, containers, 'create', params)) as Container
    },
    act: async (action, name) => (await done(horcrux, containers, action, { id: name })) as Container,
    inside: async (container) => {
      if (!container) return within(['ip', 'netns', 'exec', lab.netns])
      // Process ids of the lab host are those of its own namespace.
      const first = (await machine.runChecked('ip', ['netns', 'pids', lab.netns])).stdout.trim().split('\n')
      const root = ['nsenter', `--target=${first[0]}`, '--pid', '--mount', '--net', '--']
      return within([...root, 'nsenter', `--target=${container.pid}`, '--net', '--'])
    },
  }
}
