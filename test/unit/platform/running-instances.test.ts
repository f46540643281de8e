import { chmod, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type RunningInstance, registerInstance, runningInstances } from '#shared/platform/running-instances.ts'
import { checkout, chooseInstance } from '../../../bin/running-instance.ts'

let dir: string
const instance = (data_dir: string, more: object = {}): RunningInstance => ({
  data_dir,
  url: 'http://127.0.0.1:8006',
  checkout: '/elsewhere/',
  audit_key: 'key',
  pid: 1,
  ...more,
})
/** Data folders of the instances of this test, not of those that run beside it. */
const found = (folder = dir) =>
  runningInstances(folder)
    .map(({ data_dir }) => data_dir)
    .filter((name) => name.startsWith(dir))

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'horcrux-instances-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

test('an instance is found from its registration until its end', async () => {
  const remove = registerInstance(instance(join(dir, 'data')), dir)
  expect(found()).toEqual([join(dir, 'data')])
  remove()
  expect(found()).toEqual([])
  expect(await readdir(join(dir, 'horcrux'))).toEqual([])
})

test('a killed instance is ignored, also when another process has its id, and removed by the next start', async () => {
  await mkdir(join(dir, 'horcrux'))
  const text = JSON.stringify(instance(join(dir, 'killed')))
  for (const name of [`${process.pid}-1.json`, '4194304-77.json', 'noise.json'])
    await writeFile(join(dir, 'horcrux', name), text)
  expect(found()).toEqual([])
  registerInstance(instance(join(dir, 'new')), dir)
  expect(found()).toEqual([join(dir, 'new')])
  expect(await readdir(join(dir, 'horcrux'))).toHaveLength(2)
})

test('a folder that other users can write to, and a link, are not used', async () => {
  registerInstance(instance(join(dir, 'data')), dir)
  await chmod(join(dir, 'horcrux'), 0o777)
  expect(found()).toEqual([])
  await mkdir(join(dir, 'other'))
  await symlink(join(dir, 'horcrux'), join(dir, 'other/horcrux'))
  await chmod(join(dir, 'horcrux'), 0o700)
  expect(found()).toEqual([join(dir, 'data')])
  expect(found(join(dir, 'other'))).toEqual([])
})

test('HORCRUX_DATA chooses; else the only instance of the checkout, else the only one of the machine', () => {
  const [one, two, own] = [instance('/one'), instance('/two'), instance('/own', { checkout })]
  expect(chooseInstance([])).toBeUndefined()
  expect(chooseInstance([one])).toBe(one)
  expect(chooseInstance([one, own, two])).toBe(own)
  expect(chooseInstance([one, two], '/two')).toBe(two)
  expect(chooseInstance([one], '/three')).toBeUndefined()
  expect(() => chooseInstance([one, two])).toThrow(/2 instances .*\n {2}HORCRUX_DATA=\/one .*\n {2}HORCRUX_DATA=\/two/)
})
