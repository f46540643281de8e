import { readFileSync, globSync } from 'node:fs'
import type { Plugin } from 'vite'
import { expect, test } from 'vitest'
import type { ContractKind } from '../../../web/form-facts.ts'
import { withFacts } from '../../../web/forms/with-facts.ts'
import { pageConfig } from '../../../web/page-config.ts'

type Facts = {
  examples: Record<string, string>
  kinds: Record<string, ContractKind | 'text'>
  poolKinds: Record<string, { name: string; kind: string }[]>
}

/** The facts of the contracts for forms, as the build of the page writes them. */
async function factsOfForms(): Promise<Facts> {
  const plugin = pageConfig.plugins![0] as Plugin & { load: (id: string) => string }
  return (await import(`data:text/javascript,${encodeURIComponent(plugin.load('\0virtual:forms'))}`)) as Facts
}
const { examples, kinds, poolKinds } = await factsOfForms()

/** Fields of forms that are written out in a screen: file, name and kind. */
const written = globSync('web/screens/**/*.tsx').flatMap((file) =>
  [...readFileSync(file, 'utf8').matchAll(/(field=\{)?\{\s*name: '([\w.]+)',\s*label:[^{}]*\}/g)].flatMap(
    ([whole, alone, name]) => (alone ? [] : [{ file, name: name!, kind: /kind: '(\w+)'/.exec(whole)?.[1] }]),
  ),
)

test('the kind of an input follows from type, unit and secrecy of its parameter', () => {
  expect(kinds).toMatchObject({
    memory: 'mib',
    'limits.memory': 'mib',
    size: 'bytes',
    cpus: 'number',
    bandwidth_limit: 'number',
    protected: 'check',
    tags: 'words',
    'user.plain_password': 'password',
    'vms.update:boot_order': 'text',
  })
})

test('no screen repeats a kind that the contract tells', () => {
  expect(written.length).toBeGreaterThan(120)
  expect(written.filter(({ name, kind }) => kind !== undefined && kinds[name] === kind)).toEqual([])
})

test('a secret is typed unseen', () => {
  const seen: Record<string, string> = {
    private_key: 'pasted, of many lines',
    compose_file: 'a document; it may have passwords, and has to be read',
    code: 'of a second factor: worth nothing after half a minute',
  }
  const secrets = written.filter(({ name }) => kinds[name] === 'password')
  expect(secrets.length).toBeGreaterThan(5)
  const shown = secrets.filter(({ kind }) => kind !== undefined && kind !== 'password').map(({ name }) => name)
  expect(new Set(shown)).toEqual(new Set(Object.keys(seen)))
})

test('each kind of storage pool has inputs by its contract', () => {
  const kindIn = (type: string, field: string) => poolKinds[type]!.find(({ name }) => name === field)?.kind
  expect(kindIn('s3', 'secret_key')).toBe('password')
  expect(kindIn('ceph', 'key')).toBe('password')
  expect(kindIn('iscsi', 'highest_lun')).toBe('number')
  expect(kindIn('lvm', 'size')).toBe('bytes')
  expect(kindIn('dir', 'shared_with')).toBe('words')
})

test('a field has the kind and the example of its parameter, unless it says its own or the action differs', () => {
  const facts = {
    kinds: { memory: 'mib', tags: 'words', boot_order: 'words', 'vms.update:boot_order': 'text' },
    examples: { iso: '/srv/debian.iso', boot_order: 'vda', memory: '4' },
  }
  const fields = [
    { name: 'memory' },
    { name: 'tags', kind: 'text' },
    { name: 'boot_order' },
    { name: 'iso' },
    { name: 'iso', hint: 'hint.iso' },
    { name: 'iso', options: ['/a.iso'] },
    { name: 'description' },
  ]
  expect(withFacts(facts, 'vms.update', fields, (example) => `Such as ${example}`)).toEqual([
    { name: 'memory', kind: 'mib' },
    { name: 'tags', kind: 'text' },
    { name: 'boot_order', kind: 'text', hintText: 'Such as vda' },
    { name: 'iso', hintText: 'Such as /srv/debian.iso' },
    { name: 'iso', hint: 'hint.iso' },
    { name: 'iso', options: ['/a.iso'] },
    { name: 'description' },
  ])
})

test('examples are short, and of no secret', () => {
  expect(examples).toMatchObject({ timezone: 'Europe/Berlin', iso: '/srv/iso/debian-13.iso' })
  expect(Object.keys(examples).filter((path) => kinds[path] === 'password')).toEqual([])
  expect(Object.values(examples).filter((example) => example.length > 60 || example.includes('\n'))).toEqual([])
})
