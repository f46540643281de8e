/** A command that does nothing, and ends when it is asked to. */
export const idle = ['/bin/sh', '-c', "trap 'exit 0' TERM; while :; do sleep 0.1; done"]
