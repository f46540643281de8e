import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { MongoClient } from 'mongodb'
import { nodeEnvironment, nodeFlags, storeProgram } from '../../src/process.ts'

export const USER = 'horcrux'
export const PASSWORD = 'secret'

/** The embedded store as a process of its own. */
export type StoreProcess = {
  child: ChildProcess
  port: number
  url: string
  ended: Promise<number | null>
  stderr: () => string
}

/** Starts the store; rejects with what it wrote to stderr when it ends before it is ready. */
export const spawnStore = async (folder: string): Promise<StoreProcess> => {
  const child = spawn(process.execPath, [...nodeFlags, storeProgram], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...nodeEnvironment },
  })
  let stderr = ''
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  child.stdin?.on('error', () => {})
  const ended = once(child, 'close').then(([code]) => code as number | null)
  child.stdin?.write(`${JSON.stringify({ folder, user: USER, password: PASSWORD })}\n`)
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })
  const line = once(lines, 'line').then(([text]) => String(text))
  const failed = ended.then((code) => {
    throw new Error(`the store ended with ${String(code)}: ${stderr}`)
  })
  const { port } = JSON.parse(await Promise.race([line, failed])) as { port: number }
  failed.catch(() => {})
  const url = `mongodb://${USER}:${PASSWORD}@127.0.0.1:${port}/test?authSource=admin&directConnection=true`
  return { child, port, url, ended, stderr: () => stderr }
}

export const connectTo = ({ url }: StoreProcess): Promise<MongoClient> =>
  MongoClient.connect(url, { serverSelectionTimeoutMS: 10_000 })
