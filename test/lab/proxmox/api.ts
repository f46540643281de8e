/**
 * A stand-in for the REST API of Proxmox VE, which no registry at hand has: written from its documentation
 * (https://pve.proxmox.com/pve-docs/api-viewer/) and from the sources of pve-manager and qemu-server. It answers the
 * requests that Horcrux sends with the shapes that those have, and refuses every other, so that a write would be seen.
 */
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { X509Certificate } from 'node:crypto'
import { localHost } from '#shared/nodes/host/local/local.ts'

/** `config`: keys and values of /etc/pve/qemu-server/VMID.conf. */
export type StandInVm = {
  config: Record<string, string | number>
  status: 'stopped' | 'running'
  lock?: string
  snapshots?: string[]
  tasks?: { upid: string; type: string }[]
}
export type ProxmoxApi = {
  port: number
  fingerprint: string
  tokenId: string
  tokenSecret: string
  vms: Map<number, StandInVm>
  /** All requests so far: method and path. */
  requests: string[]
  /** False for a token without Sys.Audit. */
  seesTasks: boolean
  stop: () => Promise<void>
}

async function certificate() {
  const folder = await mkdtemp(join(tmpdir(), 'horcrux-pve-'))
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  const subject = ['-subj', '/OU=PVE Cluster Node/O=Proxmox Virtual Environment/CN=pve.lan']
  const made = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  await localHost().runChecked('openssl', [...made, ...subject, '-keyout', key, '-out', cert])
  const pair = { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') }
  await rm(folder, { recursive: true })
  return pair
}

type Answer = { status: number; reason?: string; data?: unknown }

/** The digest of a configuration, which the API answers with it. */
const digestOf = (config: object) => createHash('sha1').update(JSON.stringify(config)).digest('hex')

function answerTo(
  { vms, seesTasks }: Pick<ProxmoxApi, 'vms' | 'seesTasks'>,
  node: string,
  path: string,
  query: URLSearchParams,
): Answer {
  if (path === '/cluster/resources')
    return {
      status: 200,
      data: [
        ...[...vms].map(([vmid, { config, status }]) => ({
          id: `qemu/${vmid}`,
          type: 'qemu',
          vmid,
          name: config['name'],
          node,
          status,
          template: config['template'] ?? 0,
          maxcpu: Number(config['cores'] ?? 1),
          maxmem: Number(config['memory'] ?? 512) * 2 ** 20,
          ...(config['tags'] !== undefined && { tags: config['tags'] }),
        })),
        { id: 'lxc/900', type: 'lxc', vmid: 900, name: 'a-container', node, status: 'running' },
      ],
    }
  if (path === '/access/permissions')
    return { status: 200, data: { [query.get('path')!]: { 'VM.Audit': 1, ...(seesTasks && { 'Sys.Audit': 1 }) } } }
  if (path === `/nodes/${node}/tasks`)
    return {
      status: 200,
      data: (vms.get(Number(query.get('vmid')))?.tasks ?? []).map((task) => ({ ...task, node, user: 'root@pam' })),
    }
  const [, owner, vmid, rest] = /^\/nodes\/([^/]+)\/qemu\/(\d+)\/(.+)$/.exec(path) ?? []
  const vm = owner === node ? vms.get(Number(vmid)) : undefined
  if (!vm) return { status: 500, reason: `Configuration file 'nodes/${node}/qemu-server/${vmid}.conf' does not exist` }
  const { config, status, lock, snapshots = [] } = vm
  if (rest === 'config') return { status: 200, data: { ...config, digest: digestOf(config) } }
  if (rest === 'status/current')
    return { status: 200, data: { vmid: Number(vmid), status, qmpstatus: status, ...(lock && { lock }) } }
  if (rest === 'snapshot')
    return {
      status: 200,
      data: [
        ...snapshots.map((name) => ({ name, snaptime: 1_700_000_000, description: '' })),
        { name: 'current', description: 'You are here!', running: Number(status === 'running') },
      ],
    }
  return { status: 501, reason: `Method 'GET ${path}' not implemented` }
}

/** @param node name of the only node of the cluster: the host name of the machine with the disks */
export async function startProxmoxApi(node: string): Promise<ProxmoxApi> {
  const pair = await certificate()
  const vms: ProxmoxApi['vms'] = new Map()
  const requests: string[] = []
  const [tokenId, tokenSecret] = ['horcrux@pve!import', '0b1f6a52-6f0a-4d4c-9a6c-3f3c1d6f1d7e']
  const api: ProxmoxApi = {
    port: 0,
    fingerprint: new X509Certificate(pair.cert).fingerprint256,
    tokenId,
    tokenSecret,
    vms,
    seesTasks: true,
    requests,
    stop: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  const server: Server = createServer(pair, (request, response) => {
    requests.push(`${request.method} ${request.url}`)
    const url = new URL(request.url!, 'https://pve')
    const isKnown = request.headers.authorization === `PVEAPIToken=${tokenId}=${tokenSecret}`
    const answer: Answer =
      !isKnown || request.method !== 'GET' || !url.pathname.startsWith('/api2/json/')
        ? { status: 401, reason: 'no such token' }
        : answerTo(api, node, decodeURIComponent(url.pathname.slice('/api2/json'.length)), url.searchParams)
    response.writeHead(answer.status, answer.reason ?? 'OK', { 'content-type': 'application/json;charset=UTF-8' })
    response.end(JSON.stringify({ data: answer.data ?? null }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  // A process that only lists scenarios ends without stopping it.
  server.unref()
  Object.assign(api, { port: (server.address() as AddressInfo).port })
  return api
}
