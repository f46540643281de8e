import { once } from 'node:events'
import { type Server, type Socket, createServer } from 'node:net'
import type { ParsedKey } from 'ssh2'
import type { SshTarget } from './connection.ts'
import { ssh2 } from './library.ts'

/** Messages and flags of the agent protocol (draft-miller-ssh-agent). */
const message = { failure: 5, askIdentities: 11, identities: 12, askSignature: 13, signature: 14 }
const rsaSha512 = 4
/** A request of ssh has a few hundred bytes. */
const mostBytes = 256 * 1024

/** The private key of a host, or null: the agent has no signatures of its kind. */
function keyOf({ privateKey, passphrase }: SshTarget): ParsedKey | null {
  const parsed = ssh2().utils.parseKey(privateKey, passphrase)
  const key = (Array.isArray(parsed) ? parsed[0] : parsed) as ParsedKey | Error | undefined
  return key && !(key instanceof Error) && ['ssh-ed25519', 'ssh-rsa'].includes(key.type) ? key : null
}

const sized = (bytes: Buffer): Buffer => {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}
const failure = Buffer.from([message.failure])

/** Reads the fields of a request: each text has its length before it. @throws RangeError when it is cut off */
function fieldsOf(body: Buffer): { blob: Buffer; data: Buffer; flags: number } {
  const end = 4 + body.readUInt32BE(0)
  const last = end + 4 + body.readUInt32BE(end)
  return { blob: body.subarray(4, end), data: body.subarray(end + 4, last), flags: body.readUInt32BE(last) }
}

function sign(key: ParsedKey, body: Buffer): Buffer {
  const { blob, data, flags } = fieldsOf(body)
  if (!key.getPublicSSH().equals(blob)) return failure
  const hash = (flags & rsaSha512) === 0 ? 'sha256' : 'sha512'
  const isRsa = key.type === 'ssh-rsa'
  const signed = isRsa ? key.sign(data, hash) : key.sign(data)
  if (signed instanceof Error) return failure
  const kind = isRsa ? `rsa-sha2-${hash === 'sha512' ? '512' : '256'}` : key.type
  return Buffer.concat([
    Buffer.from([message.signature]),
    sized(Buffer.concat([sized(Buffer.from(kind)), sized(signed)])),
  ])
}

function answer(key: ParsedKey, type: number, body: Buffer): Buffer {
  if (type === message.askSignature) return sign(key, body)
  if (type !== message.askIdentities) return failure
  const one = Buffer.from([message.identities, 0, 0, 0, 1])
  return Buffer.concat([one, sized(key.getPublicSSH()), sized(Buffer.alloc(0))])
}

function serve(key: ParsedKey, socket: Socket): void {
  let held = Buffer.alloc(0)
  socket.on('error', () => socket.destroy())
  socket.on('data', (piece: Buffer) => {
    held = Buffer.concat([held, piece])
    try {
      while (held.length >= 5) {
        const length = held.readUInt32BE(0)
        if (length === 0 || length > mostBytes) throw new RangeError('No request of an agent')
        if (held.length < 4 + length) return
        socket.write(sized(answer(key, held[4]!, held.subarray(5, 4 + length))))
        held = held.subarray(4 + length)
      }
    } catch {
      socket.destroy()
    }
  })
}

/**
 * Serves the private key of a host as an ssh-agent on a Unix socket, so that the program ssh can log in although the key is
 * in no file, argument or variable. The folder of the socket is the caller's, of mode 0700.
 * @returns null for a kind of key that it does not sign with
 */
export async function startAgent(target: SshTarget, path: string): Promise<Server | null> {
  const key = keyOf(target)
  if (!key) return null
  const server = createServer((socket) => serve(key, socket))
  server.listen(path)
  await once(server, 'listening')
  return server
}
