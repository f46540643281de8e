import { existsSync, statSync } from 'node:fs'
import { type FileHandle, open as openFile, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { type Parsed, textOf } from '../arguments/parse.ts'
import { CommandError, exitCodes, usageError } from '../errors.ts'
import { open, unreachable } from '../http/request.ts'
import { sizeText } from '../output/cells.ts'
import { write } from '../output/print.ts'
import { targetFrom } from '../actions/options.ts'
import { refusalOf } from './download.ts'

/** A file or a folder on a disk of a backup. */
export type BackupPath = { backup: string; volume: string; path: string }

/** The place that `BACKUP:VOLUME:/PATH` names; undefined for another text. */
export function backupPathIn(text: string): BackupPath | undefined {
  const [, backup, volume, path] = /^([^:/]+):([^:/]+):(\/.*)$/.exec(text) ?? []
  return backup === undefined || volume === undefined || path === undefined ? undefined : { backup, volume, path }
}

/** The file that is written: beside it lies a part until it is whole. */
function fileOf(to: string, { volume, path }: BackupPath, format: string): string {
  const isFolder = statSync(to, { throwIfNoEntry: false })?.isDirectory() === true
  const name = basename(path) || volume
  const file = isFolder ? join(to, format === 'raw' ? name : `${name}.tar`) : to
  if (existsSync(file)) throw usageError(`${file} is there already`)
  return file
}

async function receive(handle: FileHandle, body: AsyncIterable<Buffer>): Promise<number> {
  let bytes = 0
  for await (const piece of body) {
    await handle.write(piece)
    bytes += piece.length
  }
  await handle.sync()
  return bytes
}

/** `horcrux cp BACKUP:VOLUME:/PATH FILE`: downloads a file or a folder of a backup. One that is cut is removed. */
export async function downloadFiles(parsed: Parsed, from: BackupPath, to: string): Promise<number> {
  const format = textOf(parsed, 'format') ?? 'tar'
  const file = fileOf(to, from, format)
  const target = targetFrom(parsed)
  const [backup, volume] = [from.backup, from.volume].map(encodeURIComponent)
  const path = `/backups/${backup}/files/${volume}/download?${new URLSearchParams({ path: from.path, format })}`
  const part = join(dirname(file), `.${basename(file)}.${process.pid}.part`)
  const message = await open(target, { path }).catch((error: unknown) => {
    throw unreachable(target, error)
  })
  if ((message.statusCode ?? 0) >= 400) throw await refusalOf(message, { target, path })
  const handle = await openFile(part, 'wx')
  try {
    const bytes = await receive(handle, message as AsyncIterable<Buffer>)
    await rename(part, file)
    await write(`${file}: ${sizeText(bytes)} downloaded\n`)
    return exitCodes.done
  } catch (error) {
    await rm(part, { force: true })
    if (error instanceof CommandError) throw error
    throw unreachable(target, error)
  } finally {
    await handle.close()
  }
}
