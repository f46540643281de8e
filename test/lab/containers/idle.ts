/** A command that does nothing, starts no other one meanwhile, and ends when it is asked to. */
export const idle = ['/bin/sh', '-c', "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"]
