import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodePeer, leadsTo } from '#shared/nodes/libvirt/worker/abort.ts'
import { allEventKinds, eventKinds } from '#shared/nodes/libvirt/worker/events.ts'
import { decodeNodeInfo, decodeVersion } from '#shared/nodes/libvirt/client/host-facts.ts'
import { decodeParameters, parameterSize, type ParameterValue } from '#shared/nodes/libvirt/worker/parameters.ts'
import { toSample } from '#shared/nodes/libvirt/worker/samples.ts'
import { decodeState } from '#shared/nodes/libvirt/worker/states.ts'

type Parameter = { name: string; type: number; value: ParameterValue }

/** The C array of these parameters, as libvirt lays it out; strings lie at the address that is their length. */
const encode = (parameters: Parameter[]) => {
  const bytes = Buffer.alloc(parameters.length * parameterSize, 0xaa)
  for (const [index, { name, type, value }] of parameters.entries()) {
    const start = index * parameterSize
    bytes.fill(0, start, start + 80)
    bytes.write(name, start, 'latin1')
    bytes.writeInt32LE(type, start + 80)
    const at = start + 88
    if (type === 1) bytes.writeInt32LE(Number(value), at)
    if (type === 2) bytes.writeUInt32LE(Number(value), at)
    if (type === 3) bytes.writeBigInt64LE(BigInt(value), at)
    if (type === 4) bytes.writeBigUInt64LE(BigInt(value), at)
    if (type === 5) bytes.writeDoubleLE(Number(value), at)
    if (type === 6) bytes.writeUInt8(value === true ? 1 : 0, at)
    if (type === 7) bytes.writeBigUInt64LE(BigInt(String(value).length), at)
  }
  return bytes
}
const readText = (address: bigint) => 'x'.repeat(Number(address))

const name = fc.stringMatching(/^[a-z0-9.-]{1,79}$/)
const parameter: fc.Arbitrary<Parameter> = fc.oneof(
  fc.record({ name, type: fc.constant(1), value: fc.integer() }),
  fc.record({ name, type: fc.constant(2), value: fc.nat(2 ** 32 - 1) }),
  fc.record({ name, type: fc.constant(3), value: fc.maxSafeInteger() }),
  fc.record({ name, type: fc.constant(4), value: fc.maxSafeNat() }),
  fc.record({ name, type: fc.constant(5), value: fc.double({ noNaN: true }) }),
  fc.record({ name, type: fc.constant(6), value: fc.boolean() }),
  fc.record({ name, type: fc.constant(7), value: fc.nat(30).map((length) => 'x'.repeat(length)) }),
)

describe('typed parameters', () => {
  test('every type and value that fits a number is read back', () => {
    fc.assert(
      fc.property(fc.uniqueArray(parameter, { selector: ({ name }) => name }), (parameters) => {
        const decoded = decodeParameters(encode(parameters), parameters.length, readText)
        expect([...decoded]).toEqual(parameters.map(({ name, value }) => [name, value]))
      }),
    )
  })

  test('the largest counter is rounded, not wrapped', () => {
    const bytes = Buffer.alloc(parameterSize, 0xff)
    bytes.fill(0, 0, 80)
    bytes.write('cpu.time')
    bytes.writeInt32LE(4, 80)
    expect(decodeParameters(bytes, 1, readText).get('cpu.time')).toBe(2 ** 64)
  })

  test('a name that fills its field and an unknown type are decoded safely', () => {
    const long = 'n'.repeat(80)
    const bytes = encode([
      { name: long, type: 1, value: -5 },
      { name: 'new', type: 99, value: 0 },
    ])
    expect([...decodeParameters(bytes, 2, readText)]).toEqual([[long, -5]])
  })
})

describe('samples', () => {
  test('all groups of a running guest', () => {
    const parameters = new Map<string, ParameterValue>(
      Object.entries({
        'state.state': 1,
        'state.reason': 1,
        'cpu.time': 5e9,
        'cpu.user': 1e9,
        'vcpu.current': 1,
        'vcpu.maximum': 2,
        'vcpu.0.time': 7,
        'balloon.current': 1024,
        'balloon.maximum': 2048,
        'balloon.rss': 900,
        'block.count': 2,
        'block.0.name': 'vda',
        'block.0.path': '/d.qcow2',
        'block.0.rd.bytes': 11,
        'block.0.capacity': 99,
        'block.1.name': 'sda',
        'net.count': 1,
        'net.0.name': 'vnet0',
        'net.0.rx.bytes': 3,
        'net.0.tx.drop': 4,
      }),
    )
    const sample = toSample(parameters)
    expect(sample).toMatchObject({
      state: 'running',
      reason: 'booted',
      cpu_time_ns: 5e9,
      vcpus: { current: 1, maximum: 2, time_ns: [7] },
      balloon: { current_kib: 1024, maximum_kib: 2048, rss_kib: 900 },
      net: [{ name: 'vnet0', rx_bytes: 3, tx_drop: 4, tx_bytes: 0 }],
    })
    expect(sample.block[0]).toMatchObject({ name: 'vda', path: '/d.qcow2', rd_bytes: 11, capacity: 99, wr_bytes: 0 })
    expect(sample.block[1]).not.toHaveProperty('path')
    expect(sample).not.toHaveProperty('cpu_system_ns')
  })

  test('a guest that is off has a state and nothing else', () => {
    const parameters = new Map<string, ParameterValue>([
      ['state.state', 5],
      ['state.reason', 2],
    ])
    expect(toSample(parameters)).toEqual({ state: 'shut_off', reason: 'destroyed', block: [], net: [] })
  })
})

describe('states and events', () => {
  test('numbers newer than the tables are not misread', () => {
    expect(decodeState(3, 5)).toEqual({ state: 'paused', reason: 'io_error' })
    expect(decodeState(1, 99)).toEqual({ state: 'running', reason: 'unknown' })
    expect(decodeState(42, 0)).toEqual({ state: 'no_state', reason: 'unknown' })
  })

  const of = { uuid: '1', name: 'n' }
  test.each([
    ['lifecycle', [2, 0], { event: 'started', detail: 'booted' }],
    ['lifecycle', [5, 1], { event: 'stopped', detail: 'destroyed' }],
    ['lifecycle', [3, 2], { event: 'suspended', detail: 'io_error' }],
    ['lifecycle', [8, 77], { event: 'crashed', detail: 'unknown' }],
    ['agent_lifecycle', [1, 2], { connected: true }],
    ['agent_lifecycle', [2, 2], { connected: false }],
    ['device_removed', ['virtio-disk0'], { alias: 'virtio-disk0' }],
    ['block_job', ['vda', 2, 3], { disk: 'vda', job: 'copy', status: 'ready' }],
    ['migration_iteration', [4], { iteration: 4 }],
    ['reboot', [], {}],
  ] as const)('%s %j', (kind, extra, expected) => {
    expect(eventKinds[kind].decode(of, extra)).toEqual({ ...of, kind, ...expected })
  })

  test('an event that is not known is dropped', () => {
    expect(eventKinds.lifecycle.decode(of, [9, 0])).toBeUndefined()
    expect(eventKinds.block_job.decode(of, ['vda', 1, 9])).toBeUndefined()
  })

  test('no two kinds share an id', () => {
    expect(new Set(allEventKinds.map((kind) => eventKinds[kind].id)).size).toBe(allEventKinds.length)
  })
})

test('versions and node information', () => {
  expect(decodeVersion(9_000_000)).toBe('9.0.0')
  expect(decodeVersion(7_002_022)).toBe('7.2.22')
  const bytes = Buffer.alloc(72)
  bytes.write('x86_64')
  bytes.writeBigUInt64LE(8n * 1024n * 1024n, 32)
  for (const [index, value] of [4, 2300, 1, 2, 3, 5].entries()) bytes.writeUInt32LE(value, 40 + index * 4)
  expect(decodeNodeInfo(bytes)).toEqual({
    model: 'x86_64',
    memoryMib: 8192,
    cpus: 4,
    mhz: 2300,
    numaNodes: 1,
    socketsPerNode: 2,
    coresPerSocket: 3,
    threadsPerCore: 5,
  })
})

describe('the sockets that lead to a daemon', () => {
  const local = { path: '/run/libvirt/libvirt-sock' }
  const tunnel = { path: '/tmp/a.sock' }
  const tcp = { address: '10.0.0.1', port: 16509 }
  test.each([
    ['qemu:///system', [local], [tunnel, tcp]],
    ['qemu+unix:///system?socket=/tmp/a.sock', [tunnel], [local, tcp]],
    ['qemu+tcp://10.0.0.1/system', [tcp], [{ address: '10.0.0.2', port: 16509 }, local]],
    ['qemu+tcp://node1:7/system', [{ address: '10.9.9.9', port: 7 }], [tcp]],
    ['qemu+tls://[fd00::1]/system', [{ address: 'fd00::1', port: 16514 }], [tcp]],
    ['qemu+ssh://root@node1/system', [], [local, tcp, tunnel]],
  ])('%s', (uri, yes, no) => {
    for (const peer of yes) expect(leadsTo(uri)(peer)).toBe(true)
    for (const peer of no) expect(leadsTo(uri)(peer)).toBe(false)
  })

  test('addresses of the kernel are read', () => {
    expect(decodePeer(Buffer.from([2, 0, 0x40, 0x7d, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]), 16)).toEqual(tcp)
    const unix = Buffer.concat([Buffer.from([1, 0]), Buffer.from('/tmp/a.sock\0')])
    expect(decodePeer(unix, unix.length)).toEqual(tunnel)
    expect(decodePeer(Buffer.from([1, 0, 0, 0]), 2)).toBeUndefined()
    const six = Buffer.alloc(28)
    six.writeUInt16LE(10, 0)
    six.writeUInt16BE(16514, 2)
    six[8] = 0xfd
    six[23] = 1
    expect(decodePeer(six, 28)).toEqual({ address: 'fd00::1', port: 16514 })
  })
})
