/**
 * Removes the settings of this machine's own Horcrux from the environment of a test; `MONGODB_URL` stays, since it names
 * the server that the tests run on, and `HORCRUX_LAB_NODE`, the image of a lab. The working folder has no `.env` and no `data`, for the same reason.
 */
import { inject } from 'vitest'

for (const name of Object.keys(process.env))
  if (/^(HORCRUX|NATS)_/.test(name) && name !== 'HORCRUX_LAB_NODE') delete process.env[name]
const run = inject('run') as { dir: string } | undefined
if (run) process.chdir(run.dir)
