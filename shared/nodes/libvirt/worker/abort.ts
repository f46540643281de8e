/**
 * Frees the threads that wait for a daemon when the process ends: shuts down the sockets to it, whereupon libvirt's
 * calls fail at once. libvirt itself has no way to cancel a call or an open.
 */
import { readdirSync } from 'node:fs'
import { isIP } from 'node:net'
import { endianness } from 'node:os'
import type { Library } from './ffi.ts'

/** A socket's other end, as getpeername tells it. */
export type Peer = { path: string } | { address: string; port: number }

const defaultSockets = /\/libvirt\/(libvirt|virtqemud)-sock$/
const inet = 2
const inet6 = 10
const unix = 1
const bothWays = 2

/** Decodes a struct sockaddr of `length` bytes. undefined for an unnamed or other socket. */
export const decodePeer = (bytes: Buffer, length: number): Peer | undefined => {
  const family = endianness() === 'LE' ? bytes.readUInt16LE(0) : bytes.readUInt16BE(0)
  if (family === unix) {
    const end = bytes.indexOf(0, 2)
    const path = bytes.toString('utf8', 2, Math.min(end < 0 ? length : end, length))
    return path === '' ? undefined : { path }
  }
  if (family === inet) return { address: bytes.subarray(4, 8).join('.'), port: bytes.readUInt16BE(2) }
  if (family !== inet6) return undefined
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(8 + index * 2).toString(16))
  return { address: new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1), port: bytes.readUInt16BE(2) }
}

/** Which peers a connection URI leads to. Transports that start a program (ssh, ext) have no socket of ours: none. */
export const leadsTo = (uri: string): ((peer: Peer) => boolean) => {
  const [, transport = 'unix', host = '', port, query = ''] =
    /^[^:+]+(?:\+([a-z]+))?:\/\/(?:[^@/]*@)?(\[[^\]]*\]|[^:/]*)(?::(\d+))?[^?]*(?:\?(.*))?$/.exec(uri) ?? []
  const socket = new URLSearchParams(query).get('socket')
  if (transport === 'unix' && host === '')
    return (peer) => 'path' in peer && (socket === null ? defaultSockets.test(peer.path) : peer.path === socket)
  if (transport !== 'tcp' && transport !== 'tls') return () => false
  const wanted = Number(port ?? (transport === 'tcp' ? 16509 : 16514))
  const address = host.replace(/^\[|\]$/g, '')
  // A name may stand for any address, and the port is libvirt's own.
  return (peer) => 'port' in peer && peer.port === wanted && (isIP(address) === 0 || peer.address === address)
}

/**
 * Shuts down every socket of this process whose peer matches. Each is duplicated before the check, so that the
 * checked socket is the one that is shut down, also when the descriptor changes meanwhile.
 */
export const shutDownSockets = (library: Library, matches: (peer: Peer) => boolean): void => {
  const address = Buffer.alloc(128)
  const length = Buffer.alloc(4)
  for (const descriptor of readdirSync('/proc/self/fd')) {
    const copy = library.dup(Number(descriptor))
    if (copy < 0) continue
    length.writeInt32LE(address.length)
    address.fill(0)
    if (library.getpeername(copy, address, length) === 0) {
      const peer = decodePeer(address, length.readInt32LE())
      if (peer && matches(peer)) library.shutdown(copy, bothWays)
    }
    library.close(copy)
  }
}
