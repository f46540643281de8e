import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { ById, Id, strict, Time, Version } from '#shared/contracts/common.ts'
import { Nic } from '#shared/contracts/vm/hardware.ts'
import { Vm } from '#shared/contracts/vm/vms.ts'

const label = '[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?'
const Hostname = Type.String({
  examples: ['web-1'],
  pattern: `^${label}$`,
  errorMessage: 'must be a host name: 1 to 63 letters, digits and hyphens, no hyphen at its ends',
})
const Fqdn = Type.String({
  examples: ['web.example.org'],
  pattern: `^${label}(\\.${label})+$`,
  maxLength: 253,
  errorMessage: 'must be a name with its domain, such as web.example.org',
})
/** No line ends, no NUL, no half of a surrogate pair: UTF-8 has none. */
const Line = { pattern: '^[^\\0\\r\\n\\ud800-\\udfff]+$', errorMessage: 'must be one line of text' }
const text = { pattern: '^[^\\0\\ud800-\\udfff]*$', errorMessage: 'must be text without NUL' }

const common = {
  name: Type.String({
    examples: ['ann'],
    pattern: '^[a-z_][a-z0-9_-]{0,31}$',
    errorMessage: 'must be a user name of the guest',
  }),
  sudo: Type.Optional(
    Type.String({ maxLength: 256, ...Line, description: 'A rule of sudoers, such as ALL=(ALL) NOPASSWD:ALL' }),
  ),
  shell: Type.Optional(
    Type.String({
      maxLength: 256,
      examples: ['/bin/bash'],
      pattern: '^/[^\\0\\s\\ud800-\\udfff]*$',
      errorMessage: 'must be a path',
    }),
  ),
}
const User = strict({
  ...common,
  plain_password: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 128,
      pattern: Line.pattern,
      description: 'At most 511 bytes in UTF-8; hashed (SHA-512 crypt) before anything is kept of it',
      errorMessage: 'must be 1 to 128 characters on one line',
    }),
  ),
})

/** One interface, in netplan's terms; its key is a name for it. */
const Ethernet = strict({
  match: Type.Optional(strict({ macaddress: Nic.properties.mac })),
  set_name: Type.Optional(
    Type.String({ maxLength: 255, description: 'Its name in the guest, at most 15 letters; the key unless given' }),
  ),
  dhcp4: Type.Optional(Type.Boolean({ description: 'On unless given, where there are no addresses' })),
  dhcp6: Type.Optional(Type.Boolean({ description: 'DHCPv6' })),
  addresses: Type.Optional(
    Type.Array(Type.String({ maxLength: 49, description: 'With its prefix, such as 10.0.0.5/24' }), { maxItems: 16 }),
  ),
  gateway: Type.Optional(
    Type.String({
      maxLength: 45,
      description: 'IPv4 or IPv6, on the first NIC only; outside the prefixes of all addresses it is on-link',
    }),
  ),
  gateway6: Type.Optional(Type.String({ maxLength: 45, description: 'IPv6, beside an IPv4 gateway' })),
  nameservers: Type.Optional(
    strict({
      addresses: Type.Optional(Type.Array(Type.String({ maxLength: 45 }), { maxItems: 8 })),
      search: Type.Optional(
        Type.Array(Type.String({ examples: ['example.org'], pattern: `^${label}(\\.${label})*$`, maxLength: 253 }), {
          maxItems: 8,
        }),
      ),
    }),
  ),
})
export type Ethernet = Static<typeof Ethernet>

const Network = strict({
  version: Type.Optional(Type.Literal(2)),
  // The names are checked with all the rest of it, so that every mistake is told at once.
  ethernets: Type.Record(Type.String({ pattern: '^[\\s\\S]*$' }), Ethernet, {
    maxProperties: 16,
    description: 'In the order of the NICs; one without `match` is the NIC of its place',
  }),
})

const settings = {
  hostname: Type.Optional(Hostname),
  fqdn: Type.Optional(Fqdn),
  ssh_keys: Type.Optional(
    Type.Array(
      Type.String({
        maxLength: 8192,
        examples: ['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK0wmN/Cr3JXqmLW7u+g9pTh+wyqDHpSQEIQczXkVx9q ann@laptop'],
        pattern:
          '^(ssh-(rsa|ed25519|dss)|ecdsa-sha2-nistp(256|384|521)|sk-[a-z0-9@.-]+) [A-Za-z0-9+/=]+( [^\\0\\r\\n\\ud800-\\udfff]*)?$',
        errorMessage: 'must be a public key as in authorized_keys: ssh-ed25519 AAAA… name',
      }),
      { maxItems: 64 },
    ),
  ),
  network: Type.Optional(Network),
  packages: Type.Optional(
    Type.Array(Type.String({ examples: ['qemu-guest-agent'], pattern: '^[A-Za-z0-9][A-Za-z0-9.+:=~_-]{0,127}$' }), {
      maxItems: 256,
    }),
  ),
  runcmd: Type.Optional(
    Type.Array(
      Type.Union([
        Type.String({ ...text, minLength: 1, maxLength: 8192, description: "For the guest's shell" }),
        Type.Array(Type.String({ ...text, maxLength: 8192 }), {
          minItems: 1,
          maxItems: 64,
          description: 'A program and its arguments',
        }),
      ]),
      { maxItems: 256 },
    ),
  ),
}
const Given = strict({ ...settings, user: Type.Optional(User) })
/** Settings that a guest reads at its first start. */
export type CloudInit = Static<typeof Given>

/** The stored settings: without the password, and with a flag when there is one. */
export const KeptCloudInit = strict({
  id: Id,
  ...settings,
  user: Type.Optional(strict({ ...common, has_password: Type.Boolean() })),
  created_at: Time,
  updated_at: Time,
  version: Version,
})

const changes = { can: 'VmConfig on /api/vms/{id}', audit: 'vm_config_changed', operation: true } as const

export const cloudinit = contract('cloudinit', {
  get: {
    does: 'Get the cloud-init settings of the guest',
    rest: 'GET /vms/{id}/cloudinit',
    can: 'VmAudit on /api/vms/{id}',
    // A seed that is removed and made anew begins at version 1 again: the hash in the ETag tells the two apart.
    computed: true,
    params: ById,
    result: KeptCloudInit,
  },
  set: {
    ...changes,
    does: 'Make a cloud-init seed (NoCloud) and put it into a drive of the virtual machine',
    rest: 'POST /vms/{id}/cloudinit',
    params: Type.Object({ id: Id, ...Given.properties }, { additionalProperties: false, minProperties: 2 }),
    result: Vm,
    secret: ['user.plain_password'],
  },
  remove: {
    ...changes,
    does: 'Eject the cloud-init seed and remove it',
    rest: 'DELETE /vms/{id}/cloudinit',
    params: ById,
    result: Vm,
  },
})
