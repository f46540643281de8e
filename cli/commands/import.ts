import { basename } from 'node:path'
import { flagsOf } from '../arguments/action-flags.ts'
import { isSet, parse, withGlobals } from '../arguments/parse.ts'
import { valuesFor } from '../actions/build-request.ts'
import { targetFrom } from '../actions/options.ts'
import { once } from '../actions/run-action.ts'
import { usageError } from '../errors.ts'
import { note } from '../output/print.ts'
import { actionOf } from '../manifest/manifest.ts'
import { sendFile } from './upload.ts'

const example = 'horcrux import main web.ova'

/** The name of an upload: as that of the file, with other characters as hyphens. */
const nameOf = (file: string) =>
  basename(file)
    .replaceAll(/[^A-Za-z0-9._-]/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '') || 'file'

/** `horcrux import POOL FILE…`: uploads an OVA, or a descriptor with its files, and makes a virtual machine of it. */
export async function importVm(words: string[]): Promise<number> {
  const action = actionOf('vm-imports', 'run')
  const known = flagsOf(action)
  const parsed = parse(words, withGlobals(known.flags), 'horcrux import')
  const [pool, ...files] = parsed.positionals
  const main = files.find((file) => /\.ov[af]$/i.test(file))
  if (pool === undefined || main === undefined)
    throw usageError('name a storage pool, and an .ova or an .ovf with its files', example)
  const others = files.filter((file) => file !== main)
  const withUpload = (upload: string) => {
    const flags = new Map(parsed.flags).set('pool', [pool]).set('upload', [upload])
    return valuesFor(action, { ...parsed, positionals: [], flags }, known)
  }
  // Mistakes in flags are told before anything is sent.
  await withUpload('00000000-0000-4000-8000-000000000000')
  const target = targetFrom(parsed)
  const isQuiet = isSet(parsed, 'quiet')
  const send = async (file: string) => (await sendFile(target, { pool, name: nameOf(file), file, isQuiet })).id
  const values = await withUpload(await send(main))
  const sent: { name: string; upload: string }[] = []
  for (const file of others) sent.push({ name: basename(file), upload: await send(file) })
  const isPlan = isSet(parsed, 'dry-run')
  if (isPlan) note('the files stay uploaded for a day: the same command without --dry-run uses them')
  return once(target, action, { ...values, files: sent, ...(isPlan && { plan: true }) }, parsed)
}
