import { fileURLToPath } from 'node:url'
import { config, reloadConfig } from '#shared/config/config.ts'
import { type RunningInstance, runningInstances } from '#shared/platform/running-instances.ts'
import { UsageError } from './arguments.ts'

/** Folder of this program. */
export const checkout = fileURLToPath(new URL('..', import.meta.url))

/**
 * Finds the running Horcrux that a command belongs to, and makes its data folder the one of this process: that of
 * HORCRUX_DATA if it is set, else the only one of this checkout, else the only one of this machine.
 * @throws UsageError if several run, and HORCRUX_DATA names none
 */
export function useRunningInstance(): RunningInstance | undefined {
  const { dataDir, runtimeDir } = config()
  const found = chooseInstance(runningInstances(runtimeDir), process.env['HORCRUX_DATA']?.trim() ? dataDir : undefined)
  if (found && found.data_dir !== dataDir) {
    process.stderr.write(`Using the Horcrux that runs at ${found.url}: HORCRUX_DATA=${found.data_dir}\n`)
    process.env['HORCRUX_DATA'] = found.data_dir
    reloadConfig()
  }
  return found
}

/** Chooses among running instances; `dataDir` is given if HORCRUX_DATA is set. @throws UsageError */
export function chooseInstance(running: RunningInstance[], dataDir?: string): RunningInstance | undefined {
  if (dataDir !== undefined) return running.find(({ data_dir }) => data_dir === dataDir)
  const own = running.filter((instance) => instance.checkout === checkout)
  const candidates = own.length > 0 ? own : running
  if (candidates.length > 1)
    throw new UsageError(
      `${candidates.length} instances of Horcrux run here. Name one of them:\n${candidates
        .map(({ data_dir, url, pid }) => `  HORCRUX_DATA=${data_dir}   (${url}, process ${pid})`)
        .join('\n')}`,
    )
  return candidates[0]
}
