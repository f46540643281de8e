import type { Host } from '#shared/nodes/host/host.ts'

/**
 * The SHA-256 of a file. openssl uses the instructions of the processor for it, and is several times faster than
 * sha256sum, which every node has.
 */
export async function digestOf(host: Host, path: string, signal: AbortSignal): Promise<string> {
  const openssl = await host.which('openssl')
  const [program, words] = openssl ? [openssl, ['dgst', '-sha256', '-r']] : ['sha256sum', ['--']]
  const { stdout } = await host.runChecked(program, [...words, path], { timeoutMs: Infinity, signal })
  return /^\\?([0-9a-f]{64}) /.exec(stdout)?.[1] ?? ''
}
