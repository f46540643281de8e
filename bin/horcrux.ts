import { ConfigError } from '#shared/config/config.ts'
import { AppError } from '#shared/errors.ts'
import { ApiError } from './api-client.ts'
import { UsageError } from './arguments.ts'
import { isServerCommand, type serverCommands } from './server-commands.js'

type Work = (words: string[]) => Promise<number>

/** Each command is imported when it runs, so that `doctor` does not load all services. */
const work: Record<keyof typeof serverCommands, Work> = {
  start: async (words) => (await import('./commands/start.ts')).start(words),
  doctor: async (words) => (await import('./commands/doctor.ts')).doctor(words),
  demo: async (words) => (await import('./commands/demo.ts')).demo(words),
  'tiny-guest': async (words) => (await import('./commands/tiny-guest.ts')).tinyGuest(words),
  'backup-config': async (words) => (await import('./commands/backup-config.ts')).backupConfig(words),
  'bus-identities': async (words) => (await import('./commands/bus-identities.ts')).busIdentities(words),
  audit: async (words) => (await import('./commands/audit.ts')).audit(words),
  bench: async (words) => (await import('./commands/bench.ts')).bench(words),
}

/** Runs one command. @returns the exit code: 2 for a wrong command line, 78 for a wrong configuration */
async function main([name = '', ...words]: string[]): Promise<number> {
  if (!isServerCommand([name, ...words]))
    return fail(2, `horcrux: '${name}' is a command of the client; see: horcrux help`)
  try {
    return await work[name as keyof typeof serverCommands](words)
  } catch (error) {
    if (error instanceof UsageError) return fail(2, `horcrux ${name}: ${error.message}`)
    if (error instanceof ConfigError) return fail(78, error.message)
    if (error instanceof AppError || error instanceof ApiError) return fail(1, `horcrux ${name}: ${error.message}`)
    return fail(1, `horcrux ${name}: ${error instanceof Error ? error.stack : String(error)}`)
  }
}

function fail(code: number, message: string): number {
  process.stderr.write(`${message}\n`)
  return code
}

// Ends the process even if a failed start left handles open. Writing to files and pipes is synchronous on Linux.
process.exit(await main(process.argv.slice(2)))
