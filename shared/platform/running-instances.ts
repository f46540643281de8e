import { lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { log } from '#shared/runtime/log.ts'

/** A running `npm start`, as other commands of this machine find it. */
export type RunningInstance = {
  /** HORCRUX_DATA. */
  data_dir: string
  url: string
  /** Folder of the program. */
  checkout: string
  /** Public key that verifies its audit. */
  audit_key: string
  pid: number
}

const uid = process.getuid!()
const folderOfRoot = '/run/horcrux'

/** Folders in which instances of this user and of root are registered. The first existing one is used for writing. */
function foldersFor(runtimeDir: string | undefined): string[] {
  const all = [
    ...(runtimeDir ? [join(runtimeDir, 'horcrux')] : []),
    ...(uid === 0 ? [folderOfRoot] : []),
    `/run/user/${uid}/horcrux`,
    `/tmp/horcrux-${uid}`,
    folderOfRoot,
  ]
  return [...new Set(all)]
}

/** Makes a folder that only its owner writes to. @returns false if its parent is missing or forbids it */
function makeFolder(folder: string): boolean {
  try {
    mkdirSync(folder, { mode: uid === 0 ? 0o755 : 0o700 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return false
  }
  return isSafe(folder)
}

/** True if only root or this user can write to a folder. Others could make commands use data of theirs. */
function isSafe(folder: string): boolean {
  const found = lstatSync(folder, { throwIfNoEntry: false })
  return found !== undefined && found.isDirectory() && [0, uid].includes(found.uid) && (found.mode & 0o022) === 0
}

/** Start of a process in clock ticks since the boot of the machine (proc(5)); undefined if it has ended. */
function startOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The program's name, in parentheses, may contain blanks; the start is field 22.
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}

/**
 * Registers this process for the other commands of this machine. If that fails they need HORCRUX_DATA.
 * @returns a function that removes the registration
 */
export function registerInstance(instance: Omit<RunningInstance, 'pid'>, runtimeDir: string | undefined): () => void {
  try {
    const folder = foldersFor(runtimeDir).find(makeFolder)
    const file = folder && writeInto(folder, { ...instance, pid: process.pid })
    return () => file && rmSync(file, { force: true })
  } catch (error) {
    log('start').warn({ err: error }, 'this instance is not registered: other commands need HORCRUX_DATA')
    return () => undefined
  }
}

/** Writes the file of an instance, and removes those of processes that have ended. @returns its path */
function writeInto(folder: string, instance: RunningInstance): string {
  for (const name of namesIn(folder)) if (isStale(name)) rmSync(join(folder, name), { force: true })
  const file = join(folder, `${instance.pid}-${startOf(instance.pid)}.json`)
  writeFileSync(`${file}.new`, JSON.stringify(instance), { mode: uid === 0 ? 0o644 : 0o600 })
  renameSync(`${file}.new`, file)
  return file
}

/** Lists the registered instances whose process still runs. */
export function runningInstances(runtimeDir: string | undefined): RunningInstance[] {
  return foldersFor(runtimeDir)
    .filter(isSafe)
    .flatMap((folder) => namesIn(folder).map((name) => ({ name, file: join(folder, name) })))
    .filter(({ name }) => !isStale(name))
    .flatMap(({ file }) => read(file))
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => /^\d+-\d+\.json$/.test(name))
  } catch {
    return []
  }
}

/** True if the process has ended: process ids are used again, so its start is compared too. */
function isStale(name: string): boolean {
  const [pid, start] = name.replace('.json', '').split('-')
  return startOf(Number(pid)) !== start
}

function read(file: string): RunningInstance[] {
  try {
    return [JSON.parse(readFileSync(file, 'utf8')) as RunningInstance]
  } catch {
    return [] // It has just ended.
  }
}
