import { randomInt } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { check } from '#shared/contract/validate.ts'
import { type CloudInit, cloudinit } from '#shared/contracts/vm/cloudinit.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { checkEthernets } from '../../../../services/vm/cloudinit/check.ts'
import { documentsOf } from '../../../../services/vm/cloudinit/documents.ts'
import { filesOf, type Seed } from '../../../../services/vm/cloudinit/seed.ts'
import { yamlOf } from '../../../../services/vm/cloudinit/yaml.ts'
import { available } from '../../../lab/requirements.ts'

const machine = localHost()
const { code } = await machine.run('python3', ['-c', 'import yaml']).catch(() => ({ code: 127 }))
const hasPyYaml = available('pyyaml', code === 0 ? [] : ['python3-yaml'])
const reader = fileURLToPath(new URL('../../../lab/guests/read-yaml.py', import.meta.url))

/**
 * Has one process of PyYAML read documents. It compares too: V8 13.6 reads keys of one escaped character in JSON wrong.
 * @returns how many it has read, and those that are not what they were made of
 */
async function readBack(documents: { text: string; value: object }[]): Promise<unknown> {
  const input = documents.map(({ text, value }) => `${JSON.stringify([text, value])}\n`).join('')
  const { stdout } = await machine.runChecked('python3', [reader], { input, timeoutMs: 200_000 })
  return JSON.parse(stdout)
}

/** Text that YAML 1.1 reads as something else when it is plain, or that breaks a document. */
const tricky = [
  ...'no No y on OFF true ~ null << = - ? : ! *a &a % @ ` 2024-01-01 2001-12-14t21:59:43.10-05:00 12:30:45'.split(' '),
  ...'190:20:30 52:54:00:12:34:56 1_000 0o17 017 0x1f 0b1 1e3 1.5 .inf -.INF .nan 685.230_15e+03 +1 ... ---'.split(' '),
  ...'# a|a: b|a #b|{{ x }}|"|\\|\\u0041| ||\t|\n|\r|\r\n|\u0001|\u001b|\u007f|\u0080|\u0085|\u009f|\u00a0'.split('|'),
  ...'\u2028|\u2029|\ufeff|\ufffe|\uffff|\u{1f600}|\u{10ffff}'.split('|'),
  "'",
]
const text = fc.oneof(
  fc.constantFrom(...tricky),
  fc
    .array(fc.oneof(fc.constantFrom(...tricky), fc.string({ unit: 'binary' })), { maxLength: 5 })
    .map((parts) => parts.join('')),
)
const line = text.map((value) => value.replaceAll(/[\0\r\n]/g, '')).filter((value) => value !== '')
const shellText = text.map((value) => value.replaceAll('\0', ''))

const octet = fc.integer({ min: 0, max: 255 })
/** Of the shape that Horcrux makes, those that are a number in base 60 often among them. */
const mac = fc
  .oneof(
    fc.array(octet, { minLength: 3, maxLength: 3 }),
    fc.array(fc.constantFrom(0x00, 0x10, 0x59), { minLength: 3, maxLength: 3 }),
  )
  .map((last) => ['52', '54', '00', ...last.map((byte) => byte.toString(16).padStart(2, '0'))].join(':'))
const label = fc.oneof(
  fc.constantFrom('no', 'y', 'on', 'null', 'true', '2024-01-01', '1', '017', '0x1f', '0b1', '1e3', '12e03', '0o17'),
  fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/),
)
const interfaceName = fc.oneof(
  fc.constantFrom('no', 'y', 'on', 'null', 'eth0', 'e1', 'Off'),
  fc.stringMatching(/^[a-z][a-z0-9_.-]{0,14}$/),
)
const address = fc.oneof(
  fc.tuple(octet, octet).map(([a, b]) => `10.${a}.${b}.5/24`),
  fc.tuple(octet, octet).map(([a, b]) => `fd00:${a}:${b}::5/64`),
)
const ethernet = fc.record(
  {
    dhcp4: fc.boolean(),
    dhcp6: fc.boolean(),
    set_name: interfaceName,
    addresses: fc.uniqueArray(address, { maxLength: 3 }),
    nameservers: fc.record({
      addresses: fc.constant(['10.0.0.2', 'fd00::2']),
      search: fc.array(label, { maxLength: 2 }),
    }),
  },
  { requiredKeys: [] },
)
const settings = fc.record(
  {
    hostname: label,
    fqdn: fc.tuple(label, label).map((labels) => labels.join('.')),
    user: fc.record(
      {
        name: fc.oneof(fc.constantFrom('no', 'null', 'y', '_'), fc.stringMatching(/^[a-z_][a-z0-9_-]{0,10}$/)),
        sudo: line.filter((value) => [...value].length < 200),
        shell: fc.constantFrom('/bin/bash', '/bin/no', '/'),
      },
      { requiredKeys: ['name'] },
    ),
    ssh_keys: fc.array(
      line.map((comment) => `ssh-ed25519 AAAA ${comment}`),
      { maxLength: 3 },
    ),
    packages: fc.array(
      fc.oneof(
        fc.constantFrom('1_000', '12:30:45', '2024-01-01', '1.5', 'no'),
        fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9.+:=~_-]{0,10}$/),
      ),
      { maxLength: 3 },
    ),
    runcmd: fc.array(
      fc.oneof(
        shellText.filter((value) => value !== ''),
        fc.array(shellText, { minLength: 1, maxLength: 4 }),
      ),
      { maxLength: 4 },
    ),
    network: fc.record({ ethernets: fc.dictionary(interfaceName, ethernet, { maxKeys: 2 }) }),
  },
  { requiredKeys: [] },
)
const seed = fc
  .tuple(
    settings,
    fc.uniqueArray(mac, { minLength: 2, maxLength: 2 }),
    fc.oneof(label, fc.constantFrom('1e3', '12345', '0b1')),
    fc.boolean(),
  )
  .map(([given, macs, id, hasPassword]): Seed => {
    const nics = macs.map((one) => ({ mac: one }))
    const valid = check<CloudInit & { id: string }>(cloudinit.actions.set.params, { hostname: 'no', ...given, id })
    const { network, ...rest } = valid
    const isRight = network && checkEthernets(network, nics).length === 0
    return documentsOf(
      { id, name: 'no', nics },
      { ...rest, ...(isRight && { network }) },
      hasPassword ? '$6$1_000$2' : null,
    )
  })

const value = fc.letrec((tie) => ({
  leaf: fc.oneof(text, fc.boolean(), fc.maxSafeInteger()),
  any: fc.oneof(
    { maxDepth: 4 },
    tie('leaf'),
    fc.array(tie('any'), { maxLength: 4 }),
    fc.dictionary(text, tie('any'), { maxKeys: 4 }),
  ),
})).any

/** Seed of fast-check's documents. */
const run = randomInt(2 ** 31)

describe.skipIf(!hasPyYaml)('PyYAML reads', () => {
  test('ten thousand documents of seeds as what they were made of', async () => {
    const documents = fc.sample(seed, { seed: run, numRuns: 3334 }).flatMap((one) => {
      const files = filesOf(one)
      expect(files['user-data'].startsWith('#cloud-config\n')).toBe(true)
      return [
        { text: files['meta-data'], value: one.metaData },
        { text: files['user-data'], value: one.userData },
        { text: files['network-config'], value: one.networkConfig },
      ]
    })
    expect(await readBack(documents), `seed ${run}`).toEqual({ read: 10_002, wrong: [] })
  }, 240_000)

  test('any text, at any place of a document, as what it was', async () => {
    const values = fc.sample(fc.dictionary(text, value, { maxKeys: 4 }), { seed: run, numRuns: 2000 })
    const documents = values.map((one) => ({ text: yamlOf(one), value: one }))
    expect(await readBack(documents), `seed ${run}`).toEqual({ read: 2000, wrong: [] })
  }, 240_000)
})
