import { closeSync, copyFileSync, existsSync, openSync, readSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Log, readLog } from './wal.ts'

/** Fields of SQLite's file header: https://sqlite.org/fileformat2.html#the_database_header */
const MAGIC = 'SQLite format 3\0'
const HEADER_BYTES = 100

const RESTORE = 'Put a backup in its place'

const headerOf = (file: string): Buffer => {
  const header = Buffer.alloc(HEADER_BYTES)
  const handle = openSync(file, 'r')
  readSync(handle, header, 0, HEADER_BYTES, 0)
  closeSync(handle)
  return header
}

/** A file may be shorter than it says as long as the log has the missing pages: a kill during a checkpoint does that. */
const checkLength = (file: string, size: number, log: Log): void => {
  const header = headerOf(file)
  if (header.toString('latin1', 0, 16) !== MAGIC) throw new Error(`${file} is not a SQLite database. ${RESTORE}.`)
  const stored = header.readUInt16BE(16)
  const pageBytes = stored === 1 ? 65_536 : stored
  const wanted = log.filePages ?? header.readUInt32BE(28)
  const there = Math.floor(size / pageBytes)
  for (let page = there + 1; page <= wanted; page++)
    if (!log.pages.has(page))
      throw new Error(`${file} has been shortened: it should have ${wanted} pages and has ${there}. ${RESTORE}.`)
}

/** Made by an administrator, removed by the start that it is for. */
const acceptFile = (file: string): string => join(dirname(file), 'accept-loss')

const checkLog = (file: string, { damage }: Log): void => {
  if (damage === undefined) return
  const log = `${file}-wal`
  if (!existsSync(acceptFile(file)))
    throw new Error(
      `The log ${log} is damaged: ${damage}. To start would lose acknowledged writes. ${RESTORE}, or create the file ${acceptFile(file)} and start again to keep what comes before the damage.`,
    )
  const kept = `${log}-damaged-${new Date().toISOString().replaceAll(/[:.]/g, '-')}`
  copyFileSync(log, kept)
  rmSync(acceptFile(file))
  process.stderr.write(
    `The log ${log} is damaged: ${damage}. Writes behind the damage are lost; it is kept as ${kept}\n`,
  )
}

/**
 * Looks for damage that SQLite would not report, before it opens the file: a file that is empty or too short, a log
 * without its file, a log with a damaged place in the middle. No file and no log is a new store.
 * @throws Error that says what to do
 */
export const checkFile = (file: string): void => {
  if (!existsSync(file)) {
    if (existsSync(`${file}-wal`) && statSync(`${file}-wal`).size > 0)
      throw new Error(`${file} is missing, but its log ${file}-wal is there. ${RESTORE}, and remove the log.`)
    return
  }
  const { size } = statSync(file)
  if (size === 0)
    throw new Error(`${file} is empty, which a store never is. ${RESTORE}, or remove it to begin with an empty store.`)
  const log = readLog(file)
  checkLog(file, log)
  checkLength(file, size, log)
}
