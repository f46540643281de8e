import { fileURLToPath } from 'node:url'

/** The folder of this checkout. Tests run in a folder of their own, so a file of the checkout needs its whole path. */
export const repository = fileURLToPath(new URL('../..', import.meta.url))
