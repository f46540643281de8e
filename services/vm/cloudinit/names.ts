import type { CloudInit } from '#shared/contracts/vm/cloudinit.ts'
import type { Wrong } from './interfaces.ts'

/** The longest name of an interface (IFNAMSIZ less its NUL). */
const maxLength = 15
const shape = /^[A-Za-z][A-Za-z0-9_.-]*$/

const reserved = new Map([
  ['lo', 'the loopback interface'],
  ['all', 'no interface, but all of them (sysctl)'],
  ['default', 'no interface, but those that are to come (sysctl)'],
  ['renderer', 'a word of netplan'],
])

/**
 * Reports every violation in the names of a guest's interfaces. The key of an entry is its id in netplan, and the name
 * of its interface where `set_name` gives no other.
 */
export function checkNames({ ethernets }: NonNullable<CloudInit['network']>, wrong: Wrong): void {
  const seen = new Set<string>()
  for (const [key, { set_name }] of Object.entries(ethernets)) {
    const field = `network.ethernets.${key}`
    if (set_name !== undefined) {
      if (!shape.test(key) || key.length > 63 || key === 'renderer')
        wrong(
          field,
          'format',
          'must be a name of letters, digits, _ . and -, at most 63, beginning with a letter; not renderer',
        )
    }
    const name = set_name ?? key
    const why = whyNot(name, set_name === undefined)
    const at = set_name === undefined ? field : `${field}.set_name`
    if (why) wrong(at, 'format', why)
    else if (seen.has(name)) wrong(at, 'taken', `another interface is called ${name}`)
    seen.add(name)
  }
}

function whyNot(name: string, isKey: boolean): string | undefined {
  const taken = reserved.get(name)
  if (taken) return `'${name}' is ${taken}: give another name`
  if (!shape.test(name)) return 'must be the name of an interface: letters, digits, _ . and -, beginning with a letter'
  if (name.length <= maxLength) return undefined
  return `is longer than an interface's name can be (${maxLength})${isKey ? ': give a shorter one, or set_name' : ''}`
}
