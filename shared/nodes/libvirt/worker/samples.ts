/** libvirt's statistics of a domain, as it names them (virConnectGetAllDomainStats), in Horcrux's words. */
import type { Parameters } from './parameters.ts'
import { decodeState, type StateAndReason } from './states.ts'

type BlockSample = {
  /** Target name, such as `vda`. */
  name: string
  /** Source file or device; absent for network sources and empty drives. */
  path?: string
  rd_reqs: number
  rd_bytes: number
  /** Time spent reading, nanoseconds. */
  rd_times: number
  wr_reqs: number
  wr_bytes: number
  wr_times: number
  fl_reqs: number
  fl_times: number
  /** Bytes: size of the disk in the guest, allocated in the image, size of the file or device. */
  capacity?: number
  allocation?: number
  physical?: number
}

type NetSample = { name: string } & Record<`${'rx' | 'tx'}_${'bytes' | 'pkts' | 'errs' | 'drop'}`, number>

/** Memory of the guest in KiB, as libvirt counts it; facts that only the balloon driver in the guest knows may be absent. */
type BalloonSample = {
  current_kib: number
  maximum_kib: number
  /** Resident memory of the QEMU process. */
  rss_kib?: number
  available_kib?: number
  unused_kib?: number
  usable_kib?: number
  swap_in_kib?: number
  swap_out_kib?: number
  major_faults?: number
  minor_faults?: number
  /** When the guest last told, seconds since 1970. */
  last_update?: number
}

/** Counters since the domain's start. Groups are absent for a domain that does not run or cannot tell without waiting. */
export type Sample = StateAndReason & {
  /** Processor time of the whole QEMU process, nanoseconds; user and system are its parts. */
  cpu_time_ns?: number
  cpu_user_ns?: number
  cpu_system_ns?: number
  vcpus?: { current: number; maximum: number; time_ns: number[] }
  balloon?: BalloonSample
  block: BlockSample[]
  net: NetSample[]
}

/** The parameter as a number, undefined when it is absent. */
const reader = (parameters: Parameters) => (name: string) => {
  const value = parameters.get(name)
  return typeof value === 'number' ? value : undefined
}

/** Drops the fields that are undefined. */
const present = <T extends object>(fields: { [K in keyof T]: T[K] | undefined }): T =>
  // Exactly the fields that are not undefined are left.
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T

const each = <T>(parameters: Parameters, group: string, one: (prefix: string) => T | undefined): T[] =>
  Array.from({ length: Number(parameters.get(`${group}.count`) ?? 0) }, (_, index) => one(`${group}.${index}.`)).filter(
    (item) => item !== undefined,
  )

const blockSample = (parameters: Parameters) => (prefix: string) => {
  const name = parameters.get(`${prefix}name`)
  if (typeof name !== 'string') return
  const number = reader(parameters)
  const path = parameters.get(`${prefix}path`)
  const count = (field: string) => number(prefix + field) ?? 0
  return present<BlockSample>({
    name,
    path: typeof path === 'string' ? path : undefined,
    rd_reqs: count('rd.reqs'),
    rd_bytes: count('rd.bytes'),
    rd_times: count('rd.times'),
    wr_reqs: count('wr.reqs'),
    wr_bytes: count('wr.bytes'),
    wr_times: count('wr.times'),
    fl_reqs: count('fl.reqs'),
    fl_times: count('fl.times'),
    capacity: number(`${prefix}capacity`),
    allocation: number(`${prefix}allocation`),
    physical: number(`${prefix}physical`),
  })
}

const netSample = (parameters: Parameters) => (prefix: string) => {
  const name = parameters.get(`${prefix}name`)
  if (typeof name !== 'string') return
  const count = (field: string) => reader(parameters)(prefix + field) ?? 0
  const sample: NetSample = {
    name,
    rx_bytes: count('rx.bytes'),
    rx_pkts: count('rx.pkts'),
    rx_errs: count('rx.errs'),
    rx_drop: count('rx.drop'),
    tx_bytes: count('tx.bytes'),
    tx_pkts: count('tx.pkts'),
    tx_errs: count('tx.errs'),
    tx_drop: count('tx.drop'),
  }
  return sample
}

const balloonSample = (parameters: Parameters) => {
  const number = reader(parameters)
  const current = number('balloon.current')
  const maximum = number('balloon.maximum')
  if (current === undefined && maximum === undefined) return
  return present<BalloonSample>({
    current_kib: current ?? maximum,
    maximum_kib: maximum ?? current,
    rss_kib: number('balloon.rss'),
    available_kib: number('balloon.available'),
    unused_kib: number('balloon.unused'),
    usable_kib: number('balloon.usable'),
    swap_in_kib: number('balloon.swap_in'),
    swap_out_kib: number('balloon.swap_out'),
    major_faults: number('balloon.major_fault'),
    minor_faults: number('balloon.minor_fault'),
    last_update: number('balloon.last-update'),
  })
}

const vcpuSample = (parameters: Parameters) => {
  const number = reader(parameters)
  const maximum = number('vcpu.maximum')
  if (maximum === undefined) return
  const times = Array.from({ length: maximum }, (_, index) => number(`vcpu.${index}.time`))
  return { current: number('vcpu.current') ?? maximum, maximum, time_ns: times.filter((time) => time !== undefined) }
}

/** The state alone. */
export const toState = (parameters: Parameters): StateAndReason => {
  const number = reader(parameters)
  return decodeState(number('state.state') ?? 0, number('state.reason') ?? 0)
}

/** libvirt's parameters of one domain, such as `block.0.rd.bytes`, as a sample. */
export const toSample = (parameters: Parameters): Sample => {
  const number = reader(parameters)
  return present<Sample>({
    ...toState(parameters),
    cpu_time_ns: number('cpu.time'),
    cpu_user_ns: number('cpu.user'),
    cpu_system_ns: number('cpu.system'),
    vcpus: vcpuSample(parameters),
    balloon: balloonSample(parameters),
    block: each(parameters, 'block', blockSample(parameters)),
    net: each(parameters, 'net', netSample(parameters)),
  })
}
