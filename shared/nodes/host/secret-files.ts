import type { Host, HostProcess, RunOptions, RunResult, SpawnOptions } from '#shared/nodes/host/host.ts'

/**
 * Paths of the secret files of a program that runs by {@link withSecretFiles}. Each file is unlinked before its secret
 * is written to it, so that none is left when the program or Horcrux is killed.
 */
export const secretFiles = ['/dev/fd/3', '/dev/fd/4'] as const

/** The name of a secret file as an object of QEMU, for its drivers that take secrets only so. */
export const secretObject = (file: string): string => `secret${secretFiles.findIndex((each) => each === file)}`

/** The words that make objects of so many secret files, for a program of QEMU. */
export const secretObjects = (count: number): string[] =>
  secretFiles.slice(0, count).flatMap((file) => ['--object', `secret,id=${secretObject(file)},file=${file}`])

/** Opens two unlinked files, fills them from standard input, and becomes the program. `$1`: bytes of the first one. */
const script = [
  'set -e',
  'umask 077',
  'f=$(mktemp)',
  'exec 3<>"$f"',
  'rm -- "$f"',
  'f=$(mktemp)',
  'exec 4<>"$f"',
  'rm -- "$f"',
  'head -c "$1" >&3',
  'cat >&4',
  'shift',
  'exec "$@" </dev/null',
].join('\n')

/**
 * Runs a program that takes secrets only from files, as {@link Host.run} does.
 * @param secrets at most two: the contents of {@link secretFiles}, in this order. Without any, it is a plain run.
 */
export function withSecretFiles(
  host: Host,
  program: string,
  args: readonly string[],
  secrets: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  if (secrets.length === 0) return host.run(program, args, options)
  const [first = '', second = ''] = secrets
  const words = ['-c', script, 'sh', String(Buffer.byteLength(first)), program, ...args]
  return host.run('sh', words, { ...options, secretInput: first + second })
}

/** As {@link withSecretFiles}, for a program that runs on: the caller gets its streams, without standard input. */
export async function spawnWithSecretFiles(
  host: Pick<Host, 'spawn'>,
  program: string,
  args: readonly string[],
  secrets: readonly string[],
  options: SpawnOptions = {},
): Promise<HostProcess> {
  const [first = '', second = ''] = secrets
  const words = ['-c', script, 'sh', String(Buffer.byteLength(first)), program, ...args]
  const child = secrets.length === 0 ? host.spawn(program, args, options) : host.spawn('sh', words, options)
  const { stdin } = await child
  // A program that ends before it has read its input closes the pipe.
  stdin.on('error', () => undefined)
  stdin.end(first + second)
  return child
}
