import type { Params, Result } from '#shared/contract/contract.ts'
import type { containerStreams } from '#shared/contracts/container/streams.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { driverOf } from '../drivers/drivers.ts'
import { requireRunning } from '../exec/exec.ts'
import { apiPathOf } from '../model.ts'
import { beginStream, givingStream, takingStream } from './stream.ts'

type Asked = Params<typeof containerStreams, 'openFiles'>

/** Begins a stream of files in this replica. Both directions are on record: they show and change what the container has. */
export async function openFiles(
  { id, path, write }: Asked,
  call: Pick<Call, 'caller' | 'requestId'>,
): Promise<Result<typeof containerStreams, 'openFiles'>> {
  const container = await requireRunning(id, write ? 'put files into' : 'get files of')
  const { files } = driverOf(container)
  const writing = async () => {
    const { end, ...sink } = await files.write(container, path)
    return takingStream({ ...sink, end: () => end().then(() => '') })
  }
  const process = write ? await writing() : givingStream(await files.read(container, path))
  const action = write ? 'putFiles' : 'getFiles'
  return beginStream(process, call, { kind: 'container_exec', path: apiPathOf(id), action, message: path })
}
