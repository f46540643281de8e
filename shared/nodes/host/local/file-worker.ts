/**
 * The program of a worker for files, see file-workers.ts: reads calls of file methods from standard input, and writes the
 * answers to standard output in the order in which they come. It ends with its parent.
 */
import { type PackedError, packError } from '#shared/errors.ts'
import { localFiles } from './files.ts'
import { readFrames, writeFrame } from './frames.ts'

export type FileCall = { id: number; method: keyof ReturnType<typeof localFiles>; args: unknown[]; host: string }
export type FileAnswer = { id: number } & ({ result: unknown } | { error: PackedError })

async function answer({ id, method, args, host }: FileCall): Promise<void> {
  // The parent has these parameters from the type of the method.
  const run = localFiles(host)[method] as (...given: unknown[]) => Promise<unknown>
  const answered: FileAnswer = await run(...args).then(
    (result) => ({ id, result }),
    (error: unknown) => ({ id, error: packError(error) }),
  )
  writeFrame(process.stdout, answered)
}

// A normal exit would wait for threads that a file system holds up.
const end = () => process.kill(process.pid, 'SIGKILL')
process.stdout.on('error', end)
process.stdin.on('end', end)
readFrames(process.stdin, (call) => void answer(call as FileCall))
