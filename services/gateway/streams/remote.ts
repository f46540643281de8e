import type { ServiceBroker } from 'moleculer'
import { asService } from '#shared/access/access.ts'
import { send } from '#shared/bus/call.ts'
import { callAt } from '#shared/bus/hedged-call.ts'
import type { Params, Result } from '#shared/contract/contract.ts'
import type { StreamEnd, containerStreams } from '#shared/contracts/container/streams.ts'

type Actions = typeof containerStreams
type Key = 'read' | 'write' | 'control'
type Name<K extends Key> = `container-streams.${K}`

export type Piece = { stream: 1 | 2; bytes: Buffer }
/** A stream that another service has, in one of its replicas. */
export type RemoteStream = {
  /** Waits a moment for output. `end` comes alone, after all output. @throws UnavailableError when the replica has gone */
  read: () => Promise<{ pieces: Piece[]; end: StreamEnd | null }>
  /** @returns false while it takes no more: {@link RemoteStream.isReady} tells when */
  write: (bytes: Buffer, isEnd: boolean) => Promise<boolean>
  isReady: () => Promise<boolean>
  control: (wanted: Omit<Params<Actions, 'control'>, 'stream_id'>) => Promise<unknown>
}

const waitSeconds = 2
const answerWithinMs = 10_000

export function remoteStream(
  broker: ServiceBroker,
  { replica, stream_id }: { replica: string; stream_id: string },
): RemoteStream {
  // A call that is lost is not repeated: its bytes may have been taken.
  const ask = async <K extends Key>(action: Name<K>, params: Omit<Params<Actions, K>, 'stream_id'>) =>
    (await send(
      broker,
      action,
      { stream_id, ...params },
      { caller: asService('gateway'), requestId: stream_id },
      answerWithinMs,
      false,
      callAt(replica),
    )) as Result<Actions, K>
  return {
    read: async () => {
      const { parts, end } = await ask('container-streams.read', { wait: waitSeconds })
      return { pieces: parts.map(({ stream, data }) => ({ stream, bytes: Buffer.from(data, 'base64') })), end }
    },
    write: (bytes, end) => ask('container-streams.write', { data: bytes.toString('base64'), end }),
    isReady: () => ask('container-streams.write', { data: '', end: false }),
    control: (wanted) => ask('container-streams.control', wanted),
  }
}

/** Ends a stream where it is. One whose replica has gone is ended by another replica, by itself. */
export async function closeRemote(
  broker: ServiceBroker,
  replica: string,
  params: Params<Actions, 'close'>,
): Promise<void> {
  const meta = { caller: asService('gateway'), requestId: params.ticket_id }
  if (broker.registry.nodes.get(replica)?.available !== true) return
  await send(broker, 'container-streams.close', params, meta, answerWithinMs, false, callAt(replica))
}
