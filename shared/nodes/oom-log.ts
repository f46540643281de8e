import { AppError } from '#shared/errors.ts'
import type { Host } from './host/host.ts'

/** The line of the kernel's log about a process that was killed within its control group (mm/oom_kill.c). */
const line = /oom-kill:constraint=CONSTRAINT_MEMCG.*,pid=(\d+),/g

/** Processes in the kernel's log that were killed because their control group was out of memory. */
export const killedIn = (text: string): number[] => [...text.matchAll(line)].map(([, pid]) => Number(pid))

/**
 * True if the kernel's log says that a process was killed because its control group was out of memory. The group itself is
 * gone with its first process, and its counter too. False where the log cannot be read.
 */
export async function wasKilledForMemory(host: Host, pid: number): Promise<boolean> {
  try {
    const { code, stdout } = await host.run('dmesg', ['--kernel', '--nopager'])
    return code === 0 && killedIn(stdout).includes(pid)
  } catch (error) {
    if (error instanceof AppError) return false
    throw error
  }
}
