/** A command that is more than one action of the API. */
export type OwnCommand = {
  does: string
  usage: string
  examples?: string[]
}

/** Commands without a noun. */
export const ownCommands = {
  login: {
    does: 'Sign in to a server, and make it the current context',
    usage: 'login [URL] [--user USER] [--keep DAYS]',
    examples: ['horcrux login https://10.0.0.5:8006 --user ann', 'horcrux login --user ci --password-stdin < password'],
  },
  setup: {
    does: 'Make the first user of a new server with its set-up token, and sign in',
    usage: 'setup [URL]',
  },
  logout: {
    does: 'End the session',
    usage: 'logout',
  },
  whoami: {
    does: 'Show the server, the user and the rights',
    usage: 'whoami',
  },
  'can-i': {
    does: 'Tell whether a privilege is held on a path, and by which grant',
    usage: 'can-i PRIVILEGE PATH [--user USER]',
    examples: ['horcrux can-i VmPowerMgmt /api/vms/web-1', 'horcrux can-i VmAllocate /api/vms --user ann'],
  },
  context: {
    does: 'Show, choose and remove the servers that you have signed in to',
    usage: 'context [list | use NAME | remove NAME | show]',
  },
  ps: {
    does: 'List virtual machines and containers together',
    usage: 'ps [--all]',
  },
  apply: {
    does: 'Create or change resources until they match files of YAML or JSON',
    usage: 'apply -f FILE [--dry-run]',
    examples: ['horcrux apply -f web.yaml', 'horcrux vms get web-1 -o yaml | horcrux apply -f -'],
  },
  diff: {
    does: 'Show how resources differ from files, without changing them',
    usage: 'diff -f FILE [--exit-code]',
  },
  edit: {
    does: 'Edit a resource as YAML in your editor',
    usage: 'edit NOUN NAME',
    examples: ['horcrux edit vms web-1'],
  },
  console: {
    does: 'Open the serial console of a virtual machine; Ctrl-] q leaves it',
    usage: 'console VM',
  },
  exec: {
    does: 'Run a command in a container, with a terminal if this is run on one; its exit code is passed on',
    usage: 'exec CONTAINER [-i] [-t] -- COMMAND [ARGUMENT…]',
    examples: [
      'horcrux exec web -- ls -l /etc',
      'horcrux exec web -- sh',
      'tar -c . | horcrux exec web -i -- tar -x -C /srv',
    ],
  },
  attach: {
    does: 'Attach to the first process, or the console, of a container; Ctrl-] q leaves it running',
    usage: 'attach CONTAINER',
  },
  logs: {
    does: 'Show the log of a container; -F follows it',
    usage: 'logs CONTAINER [-F] [--tail N] [--since TIME]',
  },
  events: {
    does: 'Show events as they happen',
    usage: 'events [--topic TOPIC] [--from SEQ]',
    examples: ['horcrux events --topic vm:status', 'horcrux events -o ndjson --from 0'],
  },
  wait: {
    does: 'Wait until an operation has ended, and show its progress',
    usage: 'wait OPERATION [--wait-timeout TIME]',
  },
  import: {
    does: 'Make a virtual machine of an OVA, or of an OVF descriptor with its files; --dry-run shows the plan first',
    usage: 'import POOL FILE [FILE…] [--name NAME] [--networks from=NAME,bridge=BRIDGE] [--dry-run]',
    examples: ['horcrux import main web.ova --dry-run', 'horcrux import main shop.ovf shop-disk1.vmdk shop.mf --start'],
  },
  cp: {
    does: 'Upload a disk image into a storage pool, where it becomes a volume, or download one; or download files of a backup; goes on after a cut',
    usage:
      'cp FILE POOL:VOLUME | cp POOL:VOLUME FILE [--format raw|qcow2] [--snapshot ID] | cp BACKUP:VOLUME:/PATH FILE [--format tar|raw]',
    examples: [
      'horcrux cp debian-13.qcow2 main:debian-13',
      'horcrux cp main:web-disk-0 web.raw',
      'horcrux cp web-2026:vda1:/etc etc.tar',
    ],
  },
  open: {
    does: 'Open the web page, or the console of a virtual machine in the browser',
    usage: 'open [vms VM]',
  },
  api: {
    does: 'Send any request to the API',
    usage: 'api METHOD PATH [-f FILE] [--set FIELD=VALUE]',
    examples: ['horcrux api GET /vms', 'horcrux api POST /vms/web-1/start'],
  },
  completion: {
    does: 'Print the completion script of a shell',
    usage: 'completion bash|zsh|fish',
    examples: [
      'source <(horcrux completion bash)',
      'horcrux completion zsh > "${fpath[1]}/_horcrux"',
      'horcrux completion fish > ~/.config/fish/completions/horcrux.fish',
    ],
  },
  version: {
    does: 'Show the version',
    usage: 'version',
  },
  help: {
    does: 'Show help for a command, or for exit-codes',
    usage: 'help [COMMAND]',
  },
} satisfies Record<string, OwnCommand>
export type OwnName = keyof typeof ownCommands

export const isOwnName = (name: string): name is OwnName => Object.hasOwn(ownCommands, name)

export const aboutOwn = (name: OwnName): OwnCommand => ownCommands[name]

/** Verbs that are a command of their own, in place of, or beside, the action of the API. */
export const ownVerbs: Record<string, OwnName> = {
  'vms console': 'console',
  'containers exec': 'exec',
  'containers attach': 'attach',
  'containers logs': 'logs',
  'operations wait': 'wait',
}
