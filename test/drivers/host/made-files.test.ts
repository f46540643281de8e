import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ConflictError, LateCallError } from '#shared/errors.ts'
import { beginAside, look, makeFile, putInPlace, removeFile } from '#shared/nodes/host/made-files.ts'
import { type RequestContext, within } from '#shared/runtime/request-context.ts'
import { eachHostWithFiles } from '../../lab/hosts/each-host.ts'

const operation = '0198d1c5-7b1e-7000-8000-000000000001'
const calls = [1, 2].map((digit) => `0198d1c5-7b1e-7000-8000-00000000000${digit}`)

describe.each(eachHostWithFiles)('files that are made aside on a $kind host', ({ open }) => {
  const host = open()
  let dir: string

  beforeAll(async () => {
    dir = (await host.runChecked('mktemp', ['-d'])).stdout.trim()
  })
  afterAll(async () => {
    await host.remove(dir, { recursive: true })
    await host.close()
  })

  /** Writes into a file that is there, as the tools do. */
  const write = (text: string) => (aside: string) => host.runChecked('tee', [aside], { input: text })
  const read = async (path: string) => (await host.readFile(path)).toString()
  const files = async () => (await host.list(dir)).map(({ name }) => name)
  const clear = async () => {
    for (const name of await files()) await host.remove(`${dir}/${name}`)
  }
  /** Work of the earlier or later call of one run. @param check called at each check of the call */
  const inCall = <T>(index: number, work: () => Promise<T>, check: () => void | Promise<void> = () => undefined) => {
    const context = { calledBy: { operation, epoch: 1 }, call: { id: calls[index]!, number: 1 }, requireCurrent: check }
    return within(context as unknown as RequestContext, work)
  }

  it('come to their place whole, and replace nothing there unless they are to', async () => {
    const path = `${dir}/it's a file`
    expect(await makeFile(host, path, write('one'))).toBe(true)
    expect(await makeFile(host, path, write('two'))).toBe(false)
    expect(await read(path)).toBe('one')
    expect(await makeFile(host, path, write('two'), { isReplacing: true })).toBe(true)
    expect([await read(path), await files()]).toEqual(['two', ["it's a file"]])
    expect((await host.stat(path))?.mode).toBe(0o600)
    await clear()
  })

  it('are put in place only if they are the ones that were made', async () => {
    const [path, aside] = [`${dir}/disk`, `${dir}/disk.aside`]
    const id = await beginAside(host, aside)
    // The inode of the removed file may be given to the next one: another file takes it first.
    await host.rename(aside, `${dir}/elsewhere`)
    await beginAside(host, aside)
    await expect(putInPlace(host, { aside, id }, path)).rejects.toBeInstanceOf(ConflictError)
    expect(await host.stat(path)).toBeNull()
    await clear()
  })

  it('are not removed by an earlier call that wakes up, which removes those of calls before it', async () => {
    const path = `${dir}/disk`
    const newer = Promise.withResolvers<void>()
    const begun = Promise.withResolvers<void>()
    const later = inCall(1, () =>
      makeFile(host, path, async (aside) => {
        await write('later')(aside)
        begun.resolve()
        await newer.promise
      }),
    )
    await begun.promise
    // It asked its check before the later call was sent: nothing refuses it.
    await inCall(0, () => makeFile(host, `${dir}/disk`, write('')))
    expect(await read(path)).toBe('')
    newer.resolve()
    // The later call finds the place taken, and its own file unharmed until then.
    expect(await later).toBe(false)
    expect(await files()).toEqual(['disk'])
    await clear()
  })

  it('are not put in place by a call that is found to be late', async () => {
    const path = `${dir}/disk`
    let isLate = false
    const check = () => {
      if (isLate) throw new LateCallError('late')
    }
    const making = inCall(
      0,
      () =>
        makeFile(host, path, async (aside) => {
          await write('late')(aside)
          isLate = true
        }),
      check,
    )
    await expect(making).rejects.toBeInstanceOf(LateCallError)
    expect(await host.stat(path)).toBeNull()
    // A later call of the operation removes what it has left.
    expect(await inCall(1, () => makeFile(host, path, write('new')))).toBe(true)
    expect([await read(path), await files()]).toEqual(['new', ['disk']])
    await clear()
  })

  it('are removed only as they were when the call was found to be current', async () => {
    const path = `${dir}/disk`
    await makeFile(host, path, write('old'))
    let checks = 0
    // Between the last check and the removal the file makes room for a new one; then the call is found to be late.
    const check = async () => {
      if (++checks > 3) throw new LateCallError('late')
      if (checks < 3) return
      await within({} as RequestContext, async () => {
        await removeFile(host, path)
        await makeFile(host, path, write('new'))
      })
    }
    await expect(inCall(0, () => removeFile(host, path), check)).rejects.toBeInstanceOf(LateCallError)
    expect(await read(path)).toBe('new')
    await removeFile(host, path)
    await removeFile(host, path)
    expect(await look(host, path)).toBeNull()
  })
})
