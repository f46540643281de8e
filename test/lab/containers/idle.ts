/** A command that does nothing, starts no other one meanwhile, and ends when it is asked to. */
export const idle = ['/bin/sh', '-c', "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"]

/** The words of a command for a Compose file, in which a dollar begins a variable. */
export const inCompose = (command: string[]): string[] => command.map((word) => word.replaceAll('$', '$$$$'))
