import { recordAudit } from '#shared/audit/audit.ts'
import { newId } from '#shared/ids.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { requestContext } from '#shared/runtime/request-context.ts'
import type { ArchiveSource } from '../drivers/files.ts'
import { outputFrom } from '../drivers/merged.ts'
import type { Process } from '../drivers/process.ts'
import { keepStream } from '../streams/running.ts'

const common = { resize: async () => undefined }

async function ended(end: () => Promise<unknown>) {
  await end()
  return { code: 0, reason: 'exited' as const }
}

/** A stream that gives an archive. */
export const givingStream = ({ bytes, close, end }: ArchiveSource): Process => ({
  ...common,
  output: outputFrom(bytes, 1),
  input: null,
  close,
  end: () => ended(end),
})

type Taking = { input: NonNullable<Process['input']>; close: () => void; end: () => Promise<string> }

/** A stream that takes an archive. Its only output is the text of its end, when the whole archive is taken in. */
export function takingStream({ input, close, end }: Taking): Process {
  const work = end()
  work.catch(() => undefined)
  async function* output() {
    const text = await work.catch(() => '')
    if (text !== '') yield { stream: 1 as const, bytes: Buffer.from(text) }
  }
  return { ...common, output: output(), input, close, end: () => ended(() => work) }
}

type Asker = Pick<Call, 'caller' | 'requestId'>
type Told = { kind: 'container_exec' | 'container_config_changed'; path: string; action: string; message: string }

/** Keeps a stream in this replica, and puts its beginning on record. */
export async function beginStream(process: Process, { caller, requestId }: Asker, told: Told) {
  const stream_id = newId()
  keepStream(stream_id, { process, signal: null, kill: null })
  await recordAudit({
    caller,
    ...told,
    action: `container-streams.${told.action}`,
    result: 'success',
    request_id: requestId,
  })
  return { stream_id, replica: requestContext()!.broker.nodeID }
}
