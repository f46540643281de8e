import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ConflictError, NotFoundError, UnavailableError } from '#shared/errors.ts'
import { isOfPath } from '#shared/nodes/host/errors.ts'
import { eachHostWithFiles } from '../../lab/hosts/each-host.ts'

const hostile = [
  'a b',
  "it's",
  '"',
  '$(id)',
  '-rf',
  '--',
  '*',
  '\\',
  'new\nline',
  '~',
  'ünï🦉',
  ';',
  '.hidden',
  '#',
  '%s',
]

describe.each(eachHostWithFiles)('the files of a $kind host', ({ open }) => {
  const host = open()
  let dir: string

  beforeAll(async () => {
    dir = (await host.runChecked('mktemp', ['-d'])).stdout.trim()
  })
  afterAll(async () => {
    await host.remove(dir, { recursive: true })
    await host.close()
  })

  it('may have any name', async () => {
    const folder = `${dir}/ho'st ile`
    await host.mkdir(folder)
    for (const name of hostile) {
      await host.writeFile(`${folder}/${name}`, name)
      await host.rename(`${folder}/${name}`, `${folder}/${name}x`)
      await host.createExclusive(`${folder}/${name}`, '')
      await host.mkdir(`${folder}/${name}.d/${name}`)
      expect((await host.readFile(`${folder}/${name}x`)).toString()).toBe(name)
      expect(await host.realpath(`${folder}/${name}x`)).toBe(`${folder}/${name}x`)
    }
    const names = (await host.list(folder)).map(({ name }) => name)
    expect(names).toEqual(hostile.flatMap((name) => [name, `${name}x`, `${name}.d`]).sort())
    for (const name of hostile) {
      await host.remove(`${folder}/${name}`)
      await host.remove(`${folder}/${name}x`)
      await host.remove(`${folder}/${name}.d`, { recursive: true })
    }
    expect(await host.list(folder)).toEqual([])
  })

  it('fail for a path that cannot be as such, and for no outage', async () => {
    await host.writeFile(`${dir}/plain`, '')
    await host.runChecked('ln', ['-s', 'round', `${dir}/round`])
    const long = `${dir}/${'a'.repeat(300)}`
    for (const verb of [
      () => host.realpath(long),
      () => host.stat(long),
      () => host.readFile(long),
      () => host.mkdir(long),
      () => host.mkdir(`${dir}/plain/folder`),
      () => host.mkdir(`${dir}/round/folder`),
    ]) {
      const error = await verb().then(
        () => undefined,
        (thrown: unknown) => thrown,
      )
      expect(isOfPath(error), `${String(verb)}: ${String(error)}`).toBe(true)
    }
    expect(isOfPath(await host.realpath(`${dir}/none`).catch((error: unknown) => error))).toBe(false)
  })

  it('come back as they were written', async () => {
    const data = randomBytes(20 * 2 ** 20)
    await host.writeFile(`${dir}/big`, data)
    expect((await host.readFile(`${dir}/big`)).equals(data)).toBe(true)
    await host.writeFile(`${dir}/big`, data.subarray(5, 8))
    expect(await host.readFile(`${dir}/big`)).toEqual(data.subarray(5, 8))
    await host.writeFile(`${dir}/big`, '')
    expect(await host.readFile(`${dir}/big`)).toHaveLength(0)
  })

  it('change whole: a reader sees the old text or the new', async () => {
    const texts = ['old', 'new'].map((text) => text.repeat(100_000))
    const path = `${dir}/changing`
    await host.writeFile(path, texts[0] as string)
    let writing = true
    const writer = (async () => {
      for (let round = 1; round <= 20; round++) await host.writeFile(path, texts[round % 2] as string)
      writing = false
    })()
    // A read that was begun on the old file may go on; what it must not see is a mixture.
    while (writing) expect(texts).toContain((await host.readFile(path)).toString())
    await writer
    expect((await host.list(dir)).filter(({ name }) => name.startsWith('.horcrux-'))).toEqual([])
  })

  it('have the wanted mode, with every umask', async () => {
    await host.writeFile(`${dir}/private`, '', { mode: 0o600 })
    await host.createExclusive(`${dir}/shared`, '', { mode: 0o666 })
    await host.mkdir(`${dir}/folder/in/folder`, { mode: 0o700 })
    expect((await host.stat(`${dir}/private`))?.mode).toBe(0o600)
    expect((await host.stat(`${dir}/shared`))?.mode).toBe(0o666)
    expect((await host.stat(`${dir}/folder/in`))?.mode).toBe(0o700)
  })

  it('are created by one of many', async () => {
    const attempts = Array.from({ length: 20 }, (_, k) => host.createExclusive(`${dir}/lock`, String(k)))
    const outcomes = await Promise.allSettled(attempts)
    const winners = outcomes.flatMap(({ status }, k) => (status === 'fulfilled' ? [String(k)] : []))
    expect(winners).toHaveLength(1)
    expect((await host.readFile(`${dir}/lock`)).toString()).toBe(winners[0])
    const reasons = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []))
    for (const reason of reasons) expect(reason).toBeInstanceOf(ConflictError)
  })

  it('are described', async () => {
    await host.writeFile(`${dir}/file`, '12345')
    await host.runChecked('ln', ['-s', `${dir}/file`, `${dir}/link`])
    await host.runChecked('ln', ['-s', '/nowhere/at/all', `${dir}/broken`])
    const stat = await host.stat(`${dir}/file`)
    expect(stat).toMatchObject({ kind: 'file', sizeBytes: 5, mode: 0o644, uid: 0, gid: 0 })
    expect(Math.abs((stat?.modifiedAt.getTime() ?? 0) - Date.now())).toBeLessThan(60_000)
    expect(await host.stat(`${dir}/link`)).toMatchObject({ kind: 'file', sizeBytes: 5 })
    expect(await host.stat('/dev/null')).toMatchObject({ kind: 'character-device' })
    expect(await host.stat(dir)).toMatchObject({ kind: 'directory' })
    expect(await host.stat(`${dir}/broken`)).toBeNull()
    expect(await host.stat(`${dir}/none`)).toBeNull()
    expect(await host.stat(`${dir}/file/below`)).toBeNull()
    expect(await host.realpath(`${dir}/link`)).toBe(await host.realpath(`${dir}/file`))
    expect(await host.list(dir)).toContainEqual({ name: 'broken', kind: 'link' })
    expect((await host.readFile('/proc/version')).toString()).toContain('Linux')
  })

  it('are missing in the same words for every verb', async () => {
    const none = `${dir}/none`
    const verbs = [
      () => host.readFile(none),
      () => host.list(none),
      () => host.rename(none, `${dir}/other`),
      () => host.realpath(none),
      () => host.space(none),
      () => host.writeFile(`${none}/file`, ''),
      () => host.createExclusive(`${none}/file`, ''),
    ]
    for (const verb of verbs) await expect(verb()).rejects.toThrow(NotFoundError)
    await expect(host.readFile(none)).rejects.toThrow(`File '${none}' not found on ${host.describe()}`)
    await host.remove(none)
    await host.remove(none, { recursive: true })
  })

  it('stand in the way in the same words for every verb', async () => {
    await host.mkdir(`${dir}/full/folder`)
    await host.mkdir(`${dir}/full`)
    await host.writeFile(`${dir}/plain`, '')
    await expect(host.mkdir(`${dir}/plain`)).rejects.toThrow(ConflictError)
    await expect(host.remove(`${dir}/full`)).rejects.toThrow('it is a directory')
    await expect(host.readFile(`${dir}/full`)).rejects.toThrow(UnavailableError)
    await expect(host.writeFile(`${dir}/full`, '')).rejects.toThrow(/Conflict|Cannot write/)
    expect((await host.list(dir)).filter(({ name }) => name.startsWith('.horcrux-'))).toEqual([])
    await host.writeFile(`${dir}/plain2`, 'two')
    await host.rename(`${dir}/plain2`, `${dir}/plain`)
    expect((await host.readFile(`${dir}/plain`)).toString()).toBe('two')
  })

  it('have room', async () => {
    const { stdout } = await host.runChecked('df', ['-B1', '--output=avail', dir])
    const free = Number(stdout.split('\n')[1])
    expect(Math.abs((await host.space(dir)).freeBytes / free - 1)).toBeLessThan(0.05)
  })
})
