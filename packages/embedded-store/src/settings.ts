/** Settings from the environment, for a store that gets no line of configuration on standard input. */
export const environmentSettings = (env: NodeJS.ProcessEnv = process.env) => ({
  folder: env['HORCRUX_STORE_FOLDER'],
  host: env['HORCRUX_STORE_HOST'],
  port: env['HORCRUX_STORE_PORT'],
  user: env['HORCRUX_STORE_USER'],
  password: env['HORCRUX_STORE_PASSWORD'],
})
