/** Commands that run the server's code on this machine: `bin/horcrux.ts` has their work. */
export const serverCommands = {
  start: 'Start Horcrux on this machine',
  doctor: 'Check the requirements of this machine (-o json)',
  demo: 'Create, start, inspect and delete a small VM, or run a simulated fleet (--fleet N)',
  'tiny-guest': 'Build a kernel and an initrd for trying Horcrux, in HORCRUX_DATA (--folder)',
  'backup-config': 'Back up all data except disks while Horcrux runs, or restore it (write FILE, restore FILE)',
  'bus-identities': 'Make the secrets and the configuration for an external NATS server (FOLDER)',
  audit: 'Verify an export of the audit offline (verify FILE; see audit --help)',
  bench: 'Measure the API against the bare libraries',
}

/**
 * True if the words are a command of the server's code. `audit` is a noun of the API too: only `audit verify FILE`,
 * `audit key` and its help are about files of this machine.
 * @param {string[]} words
 */
export function isServerCommand([name, verb, ...more]) {
  if (name !== 'audit') return Object.hasOwn(serverCommands, name ?? '')
  if (verb === 'key' || verb === undefined) return true
  return verb === 'verify' && more.length > 0
}
