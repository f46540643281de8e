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
  /** Debian packages that provide it. */
  debian: readonly string[]
  /** Setting that makes it unnecessary. */
  unless?: 'natsUrl'
}

const emulators: Partial<Record<string, { program: string; debian: string }>> = {
  x64: { program: 'qemu-system-x86_64', debian: 'qemu-system-x86' },
  arm64: { program: 'qemu-system-aarch64', debian: 'qemu-system-arm' },
  riscv64: { program: 'qemu-system-riscv64', debian: 'qemu-system-misc' },
  ppc64: { program: 'qemu-system-ppc64', debian: 'qemu-system-ppc' },
}
const emulator = emulators[process.arch] ?? { program: 'qemu-system-x86_64', debian: 'qemu-system-x86' }

/** All requirements of the machine: installed by `npm start` and `npm test`, and shown by `horcrux doctor`. */
export const requirements: readonly Requirement[] = [
  {
    name: 'nats-server',
    sign: { program: 'nats-server', version: ['--version'] },
    neededFor: 'the bus between the services (or set NATS_URL)',
    level: 'core',
    debian: ['nats-server'],
    unless: 'natsUrl',
  },
  {
    name: 'libvirt',
    sign: { program: 'libvirtd', version: ['--version'] },
    neededFor: 'virtual machines',
    level: 'guests',
    debian: ['libvirt-daemon-system'],
  },
  {
    name: 'libvirt library',
    sign: { library: 'libvirt.so.0' },
    neededFor: 'virtual machines, also those of other hosts',
    level: 'guests',
    debian: ['libvirt0'],
  },
  {
    name: 'QEMU',
    sign: { program: emulator.program, version: ['--version'] },
    neededFor: 'virtual machines',
    level: 'guests',
    debian: [emulator.debian],
  },
  {
    name: 'qemu-img',
    sign: { program: 'qemu-img', version: ['--version'] },
    neededFor: 'disks',
    level: 'guests',
    debian: ['qemu-utils'],
  },
  {
    name: 'tini',
    sign: { program: 'tini', version: ['--version'] },
    neededFor: 'libvirtd where no service manager runs',
    level: 'more',
    debian: ['tini'],
  },
  {
    name: 'virsh',
    sign: { program: 'virsh', version: ['--version'] },
    neededFor: 'virsh on the command line',
    level: 'more',
    debian: ['libvirt-clients'],
  },
  {
    name: 'OVMF',
    sign: { file: '/usr/share/OVMF/OVMF_CODE.fd' },
    neededFor: 'guests with UEFI',
    level: 'more',
    debian: ['ovmf'],
  },
  {
    name: 'genisoimage',
    sign: { program: 'genisoimage', version: ['--version'] },
    neededFor: 'cloud-init',
    level: 'more',
    debian: ['genisoimage'],
  },
  {
    name: 'busybox',
    sign: { program: 'busybox' },
    neededFor: 'the guest of `npm run demo`',
    level: 'more',
    debian: ['busybox-static'],
  },
  {
    name: 'curl',
    sign: { program: 'curl', version: ['--version'] },
    neededFor: 'the commands in the README',
    level: 'more',
    debian: ['curl'],
  },
  {
    name: 'sshd',
    sign: { program: 'sshd' },
    neededFor: 'hosts of the tests',
    level: 'test',
    debian: ['openssh-server'],
  },
  {
    name: 'ssh-keygen',
    sign: { program: 'ssh-keygen' },
    neededFor: 'hosts of the tests',
    level: 'test',
    debian: ['openssh-client'],
  },
  {
    name: 'ip',
    sign: { program: 'ip', version: ['-V'] },
    neededFor: 'hosts of the tests',
    level: 'test',
    debian: ['iproute2'],
  },
  {
    name: 'Docker',
    sign: { program: 'dockerd', version: ['--version'] },
    neededFor: 'the test of docker-compose.yml',
    level: 'test',
    debian: ['docker.io'],
  },
  {
    name: 'mmdebstrap',
    sign: { program: 'mmdebstrap', version: ['--version'] },
    neededFor: 'the test of docker-compose.yml',
    level: 'test',
    debian: ['mmdebstrap'],
  },
  {
    name: 'LXD',
    sign: { program: 'lxd', version: ['--version'] },
    neededFor: 'the tests of LXD and Incus',
    level: 'test',
    debian: ['lxd'],
  },
  {
    name: 'QEMU for aarch64',
    sign: { program: 'qemu-system-aarch64', version: ['--version'] },
    neededFor: 'guests of that architecture',
    level: 'test',
    debian: ['qemu-system-arm'],
  },
  {
    name: 'UEFI for aarch64',
    sign: { file: '/usr/share/AAVMF/AAVMF_CODE.fd' },
    neededFor: 'guests of that architecture',
    level: 'test',
    debian: ['qemu-efi-aarch64'],
  },
  {
    name: 'QEMU for riscv64',
    sign: { program: 'qemu-system-riscv64', version: ['--version'] },
    neededFor: 'guests of that architecture',
    level: 'test',
    debian: ['qemu-system-misc'],
  },
  {
    name: 'QEMU for ppc64le',
    sign: { program: 'qemu-system-ppc64', version: ['--version'] },
    neededFor: 'guests of that architecture',
    level: 'test',
    debian: ['qemu-system-ppc'],
  },
  {
    name: 'mkfs.ext4',
    sign: { program: 'mkfs.ext4' },
    neededFor: 'the test of the guest agent',
    level: 'test',
    debian: ['e2fsprogs'],
  },
  {
    name: 'Chromium',
    sign: { program: 'chromium' },
    neededFor: 'the test of the console page',
    level: 'test',
    debian: ['chromium'],
  },
]

/** Checks that nothing starts, or no guest runs, without this requirement. */
export const isNeeded = ({ level }: Requirement): boolean => level === 'core' || level === 'guests'
