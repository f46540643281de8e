import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { simulationFile } from '#shared/platform/data-folder.ts'
import { UsageError } from '../arguments.ts'

/** The data folder of a fleet. `isNew`: it has no fleet yet. */
export type FleetFolder = {
  path: string
  isNew: boolean
  /** Password of the user `admin`, which the first start sets. */
  password: string
  /** Removes a temporary folder. */
  leave: () => Promise<void>
}

/**
 * Makes or finds the folder of a fleet. A folder with other data is refused, so that a simulation never meets records of
 * real guests.
 * @param named undefined: a temporary one
 * @throws UsageError
 */
export async function openFolder(named: string | undefined): Promise<FleetFolder> {
  const path = named === undefined ? await mkdtemp(join(tmpdir(), 'horcrux-fleet-')) : resolve(named)
  // As the data folder of a normal start: others may traverse it.
  await mkdir(path, { recursive: true, mode: 0o711 })
  const isNew = !existsSync(simulationFile(path))
  if (isNew && (await readdir(path)).length > 0)
    throw new UsageError(`--data: ${path} has other data; a fleet needs a folder of its own`)
  const password = await keptPassword(join(path, 'admin-password'))
  const leave = async () => {
    if (named === undefined) await rm(path, { recursive: true, force: true })
  }
  return { path, isNew, password, leave }
}

async function keptPassword(file: string): Promise<string> {
  if (existsSync(file)) return (await readFile(file, 'utf8')).trim()
  const password = randomBytes(12).toString('base64url')
  await writeFile(file, `${password}\n`, { mode: 0o600 })
  return password
}
