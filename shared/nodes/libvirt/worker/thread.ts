/** Threads that run a TypeScript file. */
import { Worker, type WorkerOptions } from 'node:worker_threads'

/** The module hooks of this process (`--import`); other flags, such as `--input-type` or `--inspect`, are not for a thread. */
const hooks = process.execArgv.flatMap((word, index, words) =>
  word === '--import' ? [word, words[index + 1] ?? ''] : [],
)

/** @param data what the file finds in `workerData` */
export const startThread = (file: URL, data: object, options: WorkerOptions = {}): Worker =>
  new Worker(file, { ...options, workerData: data, execArgv: hooks })
