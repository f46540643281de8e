import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { environment } from '../environment.ts'

/**
 * Address of the only Horcrux that `npm start` runs on this machine, as it has registered itself
 * (shared/platform/running-instances.ts); undefined if there is none, or several.
 */
export function localUrl(): string | undefined {
  const uid = process.getuid?.() ?? -1
  const runtime = environment.runtimeFolder()
  const folders = [
    ...(runtime ? [`${runtime}/horcrux`] : []),
    `/run/user/${uid}/horcrux`,
    `/tmp/horcrux-${uid}`,
    '/run/horcrux',
  ]
  const urls = [...new Set(folders)].filter((folder) => isSafe(folder, uid)).flatMap(urlsIn)
  return new Set(urls).size === 1 ? urls[0] : undefined
}

/** Only root or this user can write there: others could send credentials to a server of theirs. */
function isSafe(folder: string, uid: number): boolean {
  const found = lstatSync(folder, { throwIfNoEntry: false })
  return found !== undefined && found.isDirectory() && [0, uid].includes(found.uid) && (found.mode & 0o022) === 0
}

function urlsIn(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => /^\d+-\d+\.json$/.test(name) && isRunning(name))
    .flatMap((name) => {
      try {
        return [(JSON.parse(readFileSync(`${folder}/${name}`, 'utf8')) as { url: string }).url]
      } catch {
        return [] // It has just ended.
      }
    })
}

/** The name has the process id and the start of the process (proc(5), field 22). */
function isRunning(name: string): boolean {
  const [pid, start] = name.replace('.json', '').split('-')
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] === start
  } catch {
    return false
  }
}
