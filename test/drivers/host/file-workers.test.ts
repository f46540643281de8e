import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { UnavailableError } from '#shared/errors.ts'
import { withoutTimeLimits, withSafeFiles } from '#shared/nodes/host/files-by-programs.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { hangAt } from '../../lab/storage/hanging-mount.ts'
import { until } from '../../lab/wait.ts'

let host: Host
let folder: string
beforeEach(async () => {
  host = localHost()
  folder = await mkdtemp(join(tmpdir(), 'horcrux-worker-'))
})
afterEach(async () => {
  await host.close()
  await rm(folder, { recursive: true, force: true })
})

/** The processes of workers that this test process has started. */
async function workers(): Promise<number[]> {
  const { stdout } = await host.run('pgrep', ['-P', String(process.pid), '-f', 'file-worker.ts'])
  return stdout.split('\n').filter(Boolean).map(Number)
}

test('calls on file systems that hang stop no call of another lane, and are answered when they work again', async () => {
  const lanes = Array.from({ length: 10 }, (_, number) => `lane-${number}`)
  const hanging = await hangAt(folder)
  const outcomes: Promise<unknown>[] = []
  try {
    // More calls than a worker has threads, and more in each lane than it may have at a time.
    for (const lane of lanes)
      for (let number = 0; number < 12; number++)
        outcomes.push(
          withoutTimeLimits(host, lane)
            .stat(join(folder, `${lane}-${number}`))
            .catch((error: unknown) => error),
        )
    const other = withSafeFiles(host, 'other')
    for (let number = 0; number < 40; number++)
      expect((await other.readFile('/etc/hostname')).length).toBeGreaterThan(0)
    expect((await workers()).length).toBeLessThan(8)
  } finally {
    await hanging.end()
  }
  expect(await Promise.all(outcomes)).toHaveLength(lanes.length * 12)
  // Those that were replaced have ended.
  await until(async () => (await workers()).length <= 1, { what: 'the end of the workers that were replaced' })
})

test('a worker that is killed fails the calls that it has, and the next call has another one', async () => {
  const files = withSafeFiles(host, 'a')
  await files.stat(folder)
  const hanging = await hangAt(folder)
  try {
    const call = files.stat(join(folder, 'x'))
    const [worker] = await workers()
    process.kill(worker!, 'SIGKILL')
    await expect(call).rejects.toBeInstanceOf(UnavailableError)
    expect(await files.stat('/etc')).toMatchObject({ kind: 'directory' })
  } finally {
    await hanging.end()
  }
})

test('a host that is closed ends its worker, also one that hangs', async () => {
  const files = withSafeFiles(host, 'a')
  await files.stat(folder)
  const hanging = await hangAt(folder)
  try {
    const call = expect(files.stat(join(folder, 'x'))).rejects.toBeInstanceOf(UnavailableError)
    const [worker] = await workers()
    await host.close()
    await call
    expect(() => process.kill(worker!, 0)).toThrow(/ESRCH/)
  } finally {
    await hanging.end()
  }
})
