import { ConfigError } from '#shared/config/config.ts'
import { AppError } from '#shared/errors.ts'
import { ApiError } from './api-client.ts'
import { UsageError } from './arguments.ts'
import { nearestWord } from './nearest-word.ts'

type Command = { does: string; run: (words: string[]) => Promise<number> }

/** Each command is imported when it runs, so that `doctor` does not load all services. */
const commands: Record<string, Command> = {
  start: {
    does: 'Start Horcrux on this machine',
    run: async (words) => (await import('./commands/start.ts')).start(words),
  },
  doctor: {
    does: 'Check the requirements of this machine (-o json)',
    run: async (words) => (await import('./commands/doctor.ts')).doctor(words),
  },
  demo: {
    does: 'Create, start, inspect and delete a small VM',
    run: async (words) => (await import('./commands/demo.ts')).demo(words),
  },
  'tiny-guest': {
    does: 'Build a kernel and an initrd for trying Horcrux, in HORCRUX_DATA (--folder)',
    run: async (words) => (await import('./commands/tiny-guest.ts')).tinyGuest(words),
  },
  'backup-config': {
    does: 'Back up all data except disks while Horcrux runs, or restore it (write FILE, restore FILE)',
    run: async (words) => (await import('./commands/backup-config.ts')).backupConfig(words),
  },
  'bus-identities': {
    does: 'Make the secrets and the configuration for an external NATS server (FOLDER)',
    run: async (words) => (await import('./commands/bus-identities.ts')).busIdentities(words),
  },
  audit: {
    does: 'Verify an export of the audit offline (verify FILE; see audit --help)',
    run: async (words) => (await import('./commands/audit.ts')).audit(words),
  },
  bench: {
    does: 'Measure the API against the bare libraries',
    run: async (words) => (await import('./commands/bench.ts')).bench(words),
  },
  version: {
    does: 'Show the version',
    run: async (words) => (await import('./commands/version.ts')).version(words),
  },
  help: { does: 'Show this', run: help },
}

async function help(): Promise<number> {
  const lines = Object.entries(commands).map(([name, { does }]) => `  ${name.padEnd(14)} ${does}`)
  process.stdout.write(
    `Usage: horcrux COMMAND\n\n${lines.join('\n')}\n\nSettings are environment variables; README.md lists them.\n`,
  )
  return 0
}

/** Runs one command. @returns the exit code: 2 for a wrong command line, 78 for a wrong configuration */
async function main([name = 'help', ...words]: string[]): Promise<number> {
  const wanted = { '--help': 'help', '-h': 'help', '--version': 'version', '-v': 'version' }[name] ?? name
  const command = Object.hasOwn(commands, wanted) ? commands[wanted] : undefined
  if (!command) {
    const near = nearestWord(wanted, Object.keys(commands))
    return fail(2, `horcrux: there is no command '${name}'.${near ? ` Did you mean '${near}'?` : ''} See: horcrux help`)
  }
  try {
    return await command.run(words)
  } catch (error) {
    if (error instanceof UsageError) return fail(2, `horcrux ${wanted}: ${error.message}`)
    if (error instanceof ConfigError) return fail(78, error.message)
    if (error instanceof AppError || error instanceof ApiError) return fail(1, `horcrux ${wanted}: ${error.message}`)
    return fail(1, `horcrux ${wanted}: ${error instanceof Error ? error.stack : String(error)}`)
  }
}

function fail(code: number, message: string): number {
  process.stderr.write(`${message}\n`)
  return code
}

// Ends the process even if a failed start left handles open. Writing to files and pipes is synchronous on Linux.
process.exit(await main(process.argv.slice(2)))
