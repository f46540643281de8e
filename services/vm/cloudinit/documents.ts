import type { CloudInit, Ethernet } from '#shared/contracts/vm/cloudinit.ts'
import type { Nic } from '#shared/contracts/vm/hardware.ts'
import { isOnLink } from './interfaces.ts'
import type { Seed } from './seed.ts'

type About = { id: string; name: string; nics: Pick<Nic, 'mac'>[] }
type User = Omit<NonNullable<CloudInit['user']>, 'plain_password'>

/**
 * The documents of a seed for a guest (cloud-init's "NoCloud" and "Networking config Version 2").
 * @param passwordHash of its user, in the format of crypt(5)
 */
export function documentsOf(
  { id, name, nics }: About,
  { hostname = name, fqdn, user, ssh_keys, network, packages, runcmd }: Omit<CloudInit, 'user'> & { user?: User },
  passwordHash: string | null,
): Seed {
  const keys = ssh_keys && { ssh_authorized_keys: ssh_keys }
  return {
    metaData: { 'instance-id': id, 'local-hostname': hostname },
    userData: {
      hostname,
      preserve_hostname: false,
      ...(fqdn && { fqdn }),
      ...(user ? { users: [userOf(user, passwordHash, keys)], ssh_pwauth: passwordHash !== null } : keys),
      ...(packages && packages.length > 0 && { package_update: true, packages }),
      ...(runcmd && { runcmd }),
    },
    networkConfig: { version: 2, ethernets: network ? ethernetsOf(network.ethernets, nics) : dhcpFor(nics) },
  }
}

const userOf = ({ name, sudo, shell }: User, passwordHash: string | null, keys: object | undefined) => ({
  name,
  ...(sudo !== undefined && { sudo }),
  ...(shell !== undefined && { shell }),
  lock_passwd: passwordHash === null,
  ...(passwordHash !== null && { passwd: passwordHash }),
  ...keys,
})

const dhcpFor = (nics: Pick<Nic, 'mac'>[]) =>
  Object.fromEntries(
    nics.map(({ mac }, index) => [
      `eth${index}`,
      { match: { macaddress: mac }, 'set-name': `eth${index}`, dhcp4: true },
    ]),
  )

function ethernetsOf(ethernets: Record<string, Ethernet>, nics: Pick<Nic, 'mac'>[]): object {
  const all = Object.entries(ethernets).map(([name, ethernet], index) => {
    const { match, set_name = name, dhcp4, dhcp6, addresses, nameservers } = ethernet
    const routes = routesOf(ethernet)
    return [
      name,
      {
        match: { macaddress: match?.macaddress ?? nics[index]?.mac },
        'set-name': set_name,
        dhcp4: dhcp4 ?? !addresses?.length,
        ...(dhcp6 !== undefined && { dhcp6 }),
        ...(addresses && { addresses }),
        ...(routes.length > 0 && { routes }),
        ...(nameservers && { nameservers }),
      },
    ]
  })
  return Object.fromEntries(all) as object
}

/** Default route of each gateway; one outside every prefix is on-link (netplan's `on-link`). */
const routesOf = ({ addresses = [], gateway, gateway6 }: Ethernet): object[] =>
  [gateway, gateway6]
    .filter((via) => via !== undefined)
    .map((via) => ({
      to: via.includes(':') ? '::/0' : '0.0.0.0/0',
      via,
      ...(isOnLink(via, addresses) && { 'on-link': true }),
    }))
