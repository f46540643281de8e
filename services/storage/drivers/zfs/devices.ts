import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { UnavailableError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { tool } from '../tool.ts'

const folder = '/dev/horcrux'
const zvolId = '/lib/udev/zvol_id'

/**
 * The path of a volume's device: a link of our own. `/dev/zdN` changes between starts, and the link of udev may be late,
 * missing or of another volume (openzfs/zfs#12507, #12484).
 */
export const linkOf = (dataset: string): string => `${folder}/${dataset}`

/** The dataset of a device; null for a device that is no volume. */
async function datasetOf(host: Host, device: string): Promise<string | null> {
  const { code, stdout } = await host.run(zvolId, [device])
  return code === 0 ? stdout.trim() : null
}

/** Prints `DEVICE DATASET` for each device of a volume. */
const all = `for device in /dev/zd*; do
  case $device in *p*|'/dev/zd*') continue; esac
  name=$(${zvolId} "$device" 2>/dev/null) && printf '%s\\t%s\\n' "$device" "$name"
done`

async function deviceOf(host: Host, dataset: string): Promise<string | null> {
  // udev's link, where it is there and right.
  const link = `/dev/zvol/${dataset}`
  if ((await host.stat(link)) && (await datasetOf(host, link)) === dataset) return host.realpath(link)
  const lines = (await tool(host, 'sh', ['-c', all])).split('\n').map((line) => line.split('\t'))
  return lines.find(([, name]) => name === dataset)?.[0] ?? null
}

/** Points the link of a volume to its device as it is now. @throws UnavailableError when no device appears */
export async function linkDevice(host: Host, dataset: string): Promise<void> {
  const link = linkOf(dataset)
  for (let pauseMs = 50; pauseMs < 5000; pauseMs *= 2) {
    const device = await deviceOf(host, dataset)
    if (device !== null) {
      const script = 'mkdir -p -- "$1" && ln -sfn -- "$2" "$3.new" && exec mv -fT -- "$3.new" "$3"'
      await tool(host, 'sh', ['-c', script, 'sh', dirname(link), device, link])
      return
    }
    await sleep(pauseMs)
  }
  throw new UnavailableError(`${host.describe()} has no device of the volume ${dataset}`)
}

export const unlinkDevice = (host: Host, dataset: string): Promise<void> => host.remove(linkOf(dataset))

/** The dataset that a path names, by our link, that of udev or the device itself; null for other paths. */
export async function datasetAt(host: Host, path: string): Promise<string | null> {
  const named = [`${folder}/`, '/dev/zvol/'].find((each) => path.startsWith(each))
  if (named) return path.slice(named.length)
  return /^\/dev\/zd\d+$/.test(path) ? datasetOf(host, path) : null
}
