import { storageTests } from './storage-tests.ts'
import { packageOf } from '#shared/nodes/host/packages.ts'

/** Check for the presence of a requirement. */
export type Sign = { program: string; version?: readonly string[] } | { library: string } | { file: string }

export type Requirement = {
  name: string
  sign: Sign
  /** Purpose, as the end of "… needs it". */
  neededFor: string
  /**
   * `core`: Horcrux does not start without it. `guests`: Horcrux starts, but runs no virtual machines. `more`: a
   * smaller feature is missing. `test`: only the tests need it.
   */
  level: 'core' | 'guests' | 'more' | 'test'
  /** Debian's package that brings it. */
  debian: string
  /** Setting that makes it unnecessary. */
  unless?: 'natsUrl'
}

const emulators: Partial<Record<string, string>> = {
  x64: 'qemu-system-x86_64',
  arm64: 'qemu-system-aarch64',
  riscv64: 'qemu-system-riscv64',
  ppc64: 'qemu-system-ppc64',
}
const emulator = emulators[process.arch] ?? 'qemu-system-x86_64'

/** Debian's folder of libraries. */
const triplet = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu'

const testOnly = 'test' as const

const known: readonly Omit<Requirement, 'debian'>[] = [
  {
    name: 'nats-server',
    sign: { program: 'nats-server', version: ['--version'] },
    neededFor: 'the bus between the services (or set NATS_URL)',
    level: 'core',
    unless: 'natsUrl',
  },
  {
    name: 'libvirt',
    sign: { program: 'libvirtd', version: ['--version'] },
    neededFor: 'virtual machines',
    level: 'guests',
  },
  {
    name: 'libvirt library',
    sign: { library: 'libvirt.so.0' },
    neededFor: 'virtual machines, also those of other hosts',
    level: 'guests',
  },
  {
    name: 'QEMU',
    sign: { program: emulator, version: ['--version'] },
    neededFor: 'virtual machines',
    level: 'guests',
  },
  {
    name: 'qemu-img',
    sign: { program: 'qemu-img', version: ['--version'] },
    neededFor: 'disks',
    level: 'guests',
  },
  {
    name: 'tini',
    sign: { program: 'tini', version: ['--version'] },
    neededFor: 'libvirtd where no service manager runs',
    level: 'more',
  },
  {
    name: 'virsh',
    sign: { program: 'virsh', version: ['--version'] },
    neededFor: 'virsh on the command line',
    level: 'more',
  },
  {
    name: 'OVMF',
    sign: { file: '/usr/share/OVMF/OVMF_CODE.fd' },
    neededFor: 'guests with UEFI',
    level: 'more',
  },
  {
    name: 'genisoimage',
    sign: { program: 'genisoimage', version: ['--version'] },
    neededFor: 'cloud-init',
    level: 'more',
  },
  {
    name: 'busybox',
    sign: { program: 'busybox' },
    neededFor: 'the guest of `npm run demo`',
    level: 'more',
  },
  {
    name: 'nftables',
    sign: { program: 'nft', version: ['--version'] },
    neededFor: 'network policies',
    level: 'more',
  },
  {
    name: 'conntrack',
    sign: { program: 'conntrack', version: ['--version'] },
    neededFor: 'network policies',
    level: 'more',
  },
  {
    name: 'CNI plug-ins',
    sign: { file: '/usr/lib/cni/bridge' },
    neededFor: 'networks of containers',
    level: 'more',
  },
  {
    name: 'iptables',
    sign: { program: 'iptables', version: ['--version'] },
    neededFor: 'published ports of CNI networks',
    level: 'more',
  },
  {
    name: 'curl',
    sign: { program: 'curl', version: ['--version'] },
    neededFor: 'the commands in the README',
    level: 'more',
  },
  {
    name: 'sshd',
    sign: { program: 'sshd' },
    neededFor: 'hosts of the tests',
    level: 'test',
  },
  {
    name: 'ssh-keygen',
    sign: { program: 'ssh-keygen' },
    neededFor: 'hosts of the tests',
    level: 'test',
  },
  {
    name: 'ip',
    sign: { program: 'ip', version: ['-V'] },
    neededFor: 'hosts of the tests',
    level: 'test',
  },
  {
    name: 'Python',
    sign: { program: 'python3', version: ['--version'] },
    neededFor: 'the tests of network policies',
    level: 'test',
  },
  {
    name: 'Docker',
    sign: { program: 'dockerd', version: ['--version'] },
    neededFor: 'the tests of containers and of docker-compose.yml',
    level: 'test',
  },
  {
    name: 'Compose',
    sign: { program: 'docker-compose', version: ['version', '--short'] },
    neededFor: 'the tests of stacks',
    level: 'test',
  },
  {
    name: 'mmdebstrap',
    sign: { program: 'mmdebstrap', version: ['--version'] },
    neededFor: 'the test of docker-compose.yml',
    level: 'test',
  },
  {
    name: 'LXD',
    sign: { program: 'lxd', version: ['--version'] },
    neededFor: 'the tests of LXD and Incus',
    level: 'test',
  },
  {
    name: 'Podman',
    sign: { program: 'podman', version: ['--version'] },
    neededFor: 'the tests of containers',
    level: 'test',
  },
  {
    name: 'runc',
    sign: { program: 'runc', version: ['--version'] },
    neededFor: 'the tests of containers',
    level: 'test',
  },
  {
    name: 'netavark',
    sign: { file: '/usr/lib/podman/netavark' },
    neededFor: 'the tests of containers',
    level: 'test',
  },
  {
    name: 'aardvark-dns',
    sign: { file: '/usr/lib/podman/aardvark-dns' },
    neededFor: 'the tests of containers',
    level: 'test',
  },
  {
    name: 'LXC',
    sign: { program: 'lxc-start', version: ['--version'] },
    neededFor: 'the tests of containers',
    level: 'test',
  },
  {
    name: 'newuidmap',
    sign: { program: 'newuidmap' },
    neededFor: 'the tests of containers',
    level: 'test',
  },
  {
    name: 'QEMU for aarch64',
    sign: { program: 'qemu-system-aarch64', version: ['--version'] },
    neededFor: 'guests of that architecture',
    level: 'test',
  },
  {
    name: 'UEFI for aarch64',
    sign: { file: '/usr/share/AAVMF/AAVMF_CODE.fd' },
    neededFor: 'guests of that architecture',
    level: 'test',
  },
  {
    name: 'QEMU for riscv64',
    sign: { program: 'qemu-system-riscv64', version: ['--version'] },
    neededFor: 'guests of that architecture',
    level: 'test',
  },
  {
    name: 'QEMU for ppc64le',
    sign: { program: 'qemu-system-ppc64', version: ['--version'] },
    neededFor: 'guests of that architecture',
    level: 'test',
  },
  ...['swtpm', 'swtpm_setup'].map((name) => ({
    name,
    sign: { program: name },
    neededFor: 'the test of emulated TPMs',
    level: testOnly,
  })),
  {
    name: 'Prometheus',
    sign: { program: 'prometheus', version: ['--version'] },
    neededFor: 'the tests of the metrics',
    level: 'test',
  },
  ...['node', 'libvirt'].map((of) => ({
    name: `${of} exporter of Prometheus`,
    sign: { program: `prometheus-${of}-exporter` },
    neededFor: 'the tests of the metrics',
    level: testOnly,
  })),
  {
    name: 'PyYAML',
    sign: { file: '/usr/lib/python3/dist-packages/yaml' },
    neededFor: 'the test of cloud-init seeds',
    level: 'test',
  },
  ...storageTests(triplet).map((sign) => ({
    name: 'program' in sign ? sign.program : sign.file,
    sign,
    neededFor: 'the tests of storage',
    level: testOnly,
  })),
  ...['zsh', 'fish'].map((name) => ({
    name,
    sign: { program: name },
    neededFor: 'the test of completion',
    level: testOnly,
  })),
  {
    name: 'Chromium',
    sign: { program: 'chromium' },
    neededFor: 'the test of the console page',
    level: 'test',
  },
]

const nameIn = (sign: Sign) => ('program' in sign ? sign.program : 'library' in sign ? sign.library : sign.file)

/** All requirements of the machine: installed by `npm start` and `npm test`, and shown by `horcrux doctor`. */
export const requirements: readonly Requirement[] = known.map((one) => ({
  ...one,
  debian: packageOf(nameIn(one.sign)) ?? '',
}))

/** Checks that nothing starts, or no guest runs, without this requirement. */
export const isNeeded = ({ level }: Requirement): boolean => level === 'core' || level === 'guests'
