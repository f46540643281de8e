import { createRequire } from 'node:module'
import type library from 'ssh2'

const require = createRequire(import.meta.url)

/** Loads ssh2 at its first use: a process that reaches no host over SSH spares 4 MB. */
export const ssh2 = () => require('ssh2') as typeof library
