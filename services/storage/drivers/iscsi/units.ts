import type { PoolConfig } from '#shared/contracts/storage/pool-kinds.ts'
import { ConflictError, NotFoundError, UnavailableError } from '#shared/errors.ts'
import { CommandError, missingProgram } from '#shared/nodes/host/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { secretFiles, withSecretFiles } from '#shared/nodes/host/secret-files.ts'

export type Config = PoolConfig<'iscsi'>

/** A logical unit. `serial`: the device's own, which another device in its place does not have. */
export type Unit = { lun: number; serial: string; size_bytes: number }

/** Seconds until a server that does not answer is given up. */
const answerSeconds = 12

/**
 * Asks each unit for its serial number and size. Units that are not there, and those without a size, such as a controller,
 * are left out. The password comes from the secret file and goes into the environment of the tools, which only root reads.
 * `$1`: the target's URL. `$2`: the highest number.
 */
const script = `[ -z "$3" ] || { LIBISCSI_CHAP_USERNAME=$3 LIBISCSI_CHAP_PASSWORD=$(cat ${secretFiles[0]}); export LIBISCSI_CHAP_USERNAME LIBISCSI_CHAP_PASSWORD; }
lun=0
while [ "$lun" -le "$2" ]; do
  if said=$(iscsi-inq -e 1 -c 128 "$1/$lun" 2>&1); then
    size=$(iscsi-readcapacity16 -s "$1/$lun" 2>/dev/null) && printf '%s %s %s\\n' "$lun" "$size" "$(printf %s "$said" | tr -cd '[:graph:] ')"
  else
    case $said in *LOGICAL_UNIT_NOT_SUPPORTED*) ;; *) printf '%s\\n' "$said" >&2; exit 1 ;; esac
  fi
  lun=$((lun + 1))
done`

export const portalOf = ({ server, port }: Pick<Config, 'server' | 'port'>): string => `${server}:${port ?? 3260}`

/** Characters of a serial number that a name can have. */
const serialIn = (text: string): string =>
  (/\[([^\]]*)\]/.exec(text)?.[1] ?? '').replaceAll(/[^A-Za-z0-9]/g, '').slice(-32) || 'none'

/** Reads the answer of the script: lines of number, size and the words of `iscsi-inq`. */
export const unitsIn = (text: string): Unit[] =>
  text
    .split('\n')
    .map((line) => /^(\d+) (\d+) (.*)$/.exec(line))
    .flatMap((found) =>
      found ? [{ lun: Number(found[1]), size_bytes: Number(found[2]), serial: serialIn(found[3] ?? '') }] : [],
    )

/**
 * The units of a target, of which the numbers up to `highest` are asked.
 * @throws NotFoundError for a target that the server does not have, UnavailableError when it does not answer or refuses the user
 */
export async function unitsOf(host: Host, config: Config, highest = config.highest_lun): Promise<Unit[]> {
  const { target, user, password } = config
  const url = `iscsi://${portalOf(config)}/${target}`
  const words = ['-k', '1', String(answerSeconds), 'sh', '-c', script, 'sh', url, String(highest), user ?? '']
  if (!(await host.which('iscsi-inq'))) throw missingProgram('iscsi-inq', host.describe())
  const secrets = password === undefined ? [] : [password]
  const { code, stdout, stderr } = await withSecretFiles(host, 'timeout', words, secrets)
  if (code === 0) return unitsIn(stdout)
  const cause = new CommandError('iscsi-inq', code, stderr, host.describe())
  const place = `iSCSI target '${target}' at ${portalOf(config)}, asked from ${host.describe()}`
  if (/Target not found/.test(stderr)) throw new NotFoundError(`${place}: not found`, { cause })
  if (/Authentication failure/.test(stderr))
    throw new UnavailableError(`${place}: it refuses the user or the password`, { cause })
  if (/Connection refused|connect|service_reconnect|Not reachable|resolve/i.test(stderr) || code >= 124)
    throw new UnavailableError(`${place}: it does not answer`, { cause })
  throw new ConflictError(`${place}: ${stderr.trim().slice(-300)}`, { cause })
}

/** The name of a unit as a volume: with the serial number, so that another device in its place is not taken for it. */
export const nameOfUnit = ({ lun, serial }: Pick<Unit, 'lun' | 'serial'>): string => `lun-${lun}-${serial}`

/** @throws NotFoundError for a name that no unit has */
export function lunOf(name: string): number {
  const [, lun] = /^lun-(\d{1,3})-[A-Za-z0-9]{1,32}$/.exec(name) ?? []
  if (lun !== undefined) return Number(lun)
  throw new NotFoundError(`'${name}' is no name of a logical unit: those are lun-<number>-<serial number>`)
}
