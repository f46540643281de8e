import { existsSync } from 'node:fs'
import { parse, type Parsed, textOf, withGlobals } from '../arguments/parse.ts'
import { usageError } from '../errors.ts'
import { backupPathIn, downloadFiles } from './download-files.ts'
import { download } from './download.ts'
import { upload } from './upload.ts'

const flags = {
  format: {
    value: 'FORMAT',
    does: 'Format of the file: of an upload found from its content, of a download raw, unless given',
  },
  'volume-format': { value: 'FORMAT', does: 'Format of the uploaded volume' },
  sha256: { value: 'DIGEST', does: 'Digest that the uploaded file must have' },
  disk: { value: 'NAME', does: 'Disk of an uploaded OVA with several' },
  snapshot: { value: 'ID', does: 'Snapshot that is downloaded, in place of the disk as it is' },
}
const ofUploads = ['volume-format', 'sha256', 'disk']

/** The storage pool and the volume that `POOL:VOLUME` names; undefined for another text. */
function placeIn(text: string): { pool: string; volume: string } | undefined {
  const [, pool, volume] = /^([^:/]+):(.*)$/.exec(text) ?? []
  return pool === undefined || volume === undefined ? undefined : { pool, volume }
}

/** `horcrux cp FILE POOL:VOLUME` uploads a disk image, `horcrux cp POOL:VOLUME FILE` downloads a volume, `horcrux cp BACKUP:VOLUME:/PATH FILE` files of a backup. */
export async function cp(words: string[]): Promise<number> {
  const parsed = parse(words, withGlobals(flags), 'horcrux cp')
  const [from = '', to = '', ...more] = parsed.positionals
  const given = (names: string[]) => names.filter((name) => textOf(parsed, name) !== undefined)
  const [source, target] = [placeIn(from), placeIn(to)]
  if (from === '' || to === '' || more.length > 0)
    throw usageError(
      'name a file, and a storage pool with the name of the volume',
      'horcrux cp debian-13.qcow2 main:debian-13',
    )
  if (target && (!source || existsSync(from))) {
    if (given(['snapshot']).length > 0) throw usageError('--snapshot is for downloads', 'horcrux cp --help')
    return upload(parsed, from, target)
  }
  if (!source?.volume || target)
    throw usageError('one of the two is POOL:VOLUME, the other a file', 'horcrux cp main:web-disk-0 web.raw')
  return downloadOf(parsed, from, source, to)
}

/** Downloads files of a backup, or a volume. */
function downloadOf(
  parsed: Parsed,
  from: string,
  source: { pool: string; volume: string },
  to: string,
): Promise<number> {
  const files = backupPathIn(from)
  const wrong = (files ? [...ofUploads, 'snapshot'] : ofUploads).filter((name) => textOf(parsed, name) !== undefined)
  if (wrong.length > 0) throw usageError(`--${wrong.join(', --')}: not for this download`, 'horcrux cp --help')
  return files ? downloadFiles(parsed, files, to) : download(parsed, source, to)
}
