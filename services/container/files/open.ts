import { recordAudit } from '#shared/audit/audit.ts'
import type { Params, Result } from '#shared/contract/contract.ts'
import type { containerStreams } from '#shared/contracts/container/streams.ts'
import { newId } from '#shared/ids.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { requestContext } from '#shared/runtime/request-context.ts'
import type { Files } from '../drivers/files.ts'
import { outputFrom } from '../drivers/merged.ts'
import { driverOf } from '../drivers/drivers.ts'
import type { Ref } from '../drivers/driver.ts'
import type { Process } from '../drivers/process.ts'
import { requireRunning } from '../exec/exec.ts'
import { apiPathOf } from '../model.ts'
import { keepStream } from '../streams/running.ts'

type Asked = Params<typeof containerStreams, 'openFiles'>

const common = { resize: async () => undefined }

async function reading(files: Files<Ref>, ref: Ref, path: string): Promise<Process> {
  const { bytes, close, end } = await files.read(ref, path)
  return { ...common, output: outputFrom(bytes, 1), input: null, close, end: () => ended(end) }
}

async function writing(files: Files<Ref>, ref: Ref, path: string): Promise<Process> {
  const { input, close, end } = await files.write(ref, path)
  // Its only output is its end, when the whole archive is unpacked.
  const work = end()
  work.catch(() => undefined)
  const output: AsyncIterable<never> = {
    [Symbol.asyncIterator]: () => ({
      next: () =>
        work.then(
          () => over,
          () => over,
        ),
    }),
  }
  return { ...common, output, input, close, end: () => ended(() => work) }
}

const over = { done: true as const, value: undefined }

async function ended(end: () => Promise<void>) {
  await end()
  return { code: 0, reason: 'exited' as const }
}

/** Begins a stream of files in this replica. Both directions are on record: they show and change what the container has. */
export async function openFiles(
  { id, path, write }: Asked,
  { caller, requestId }: Pick<Call, 'caller' | 'requestId'>,
): Promise<Result<typeof containerStreams, 'openFiles'>> {
  const container = await requireRunning(id, write ? 'put files into' : 'get files of')
  const { files } = driverOf(container)
  const process = await (write ? writing : reading)(files, container, path)
  const stream_id = newId()
  keepStream(stream_id, { process, signal: null, kill: null })
  await recordAudit({
    caller,
    kind: 'container_exec',
    path: apiPathOf(id),
    action: `container-streams.${write ? 'putFiles' : 'getFiles'}`,
    result: 'success',
    request_id: requestId,
    message: path,
  })
  return { stream_id, replica: requestContext()!.broker.nodeID }
}
