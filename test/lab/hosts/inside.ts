import { localHost } from '#shared/nodes/host/local/local.ts'
import type { LabHost } from './hosts.ts'

/** The arguments of nsenter for a program with the mounts and the processes of a lab host. */
export async function insideOf({ netns }: Pick<LabHost, 'netns'>): Promise<string[]> {
  const { stdout } = await localHost().runChecked('ip', ['netns', 'pids', netns])
  // The first process has the mounts of the host; only its children have the process ids that /proc is of.
  const first = stdout.trim().split('\n')[0]
  return [`--target=${first}`, '--mount', `--pid=/proc/${first}/ns/pid_for_children`, '--']
}
