import { spawn } from 'node:child_process'
import { parse, withGlobals } from '../arguments/parse.ts'
import { environment } from '../environment.ts'
import { exitCodes, usageError } from '../errors.ts'
import { nounOf } from '../manifest/manifest.ts'
import { write } from '../output/print.ts'
import { targetFrom } from '../actions/options.ts'

/** `horcrux open [vms VM]`: prints the address and opens it in the browser, if there is a screen. */
export async function openPage(words: string[]): Promise<number> {
  const parsed = parse(
    words,
    withGlobals({ print: { isBoolean: true, does: 'Only print the address' } }),
    'horcrux open',
  )
  const [noun, name, ...more] = parsed.positionals
  if (more.length > 0 || (noun !== undefined && (name === undefined || nounOf(noun) !== 'vms')))
    throw usageError('name a virtual machine, or nothing', 'horcrux open vms web-1')
  const { url } = targetFrom(parsed)
  const address = name === undefined ? `${url}/` : `${url}/vms/${encodeURIComponent(name)}`
  await write(`${address}\n`)
  if (process.stdout.isTTY && !parsed.flags.has('print')) await show(address)
  return exitCodes.done
}

/** Without a browser the printed address is enough. */
async function show(address: string): Promise<void> {
  const browser = spawn(environment.browser(), [address], { stdio: 'ignore', detached: true })
  const { promise, resolve } = Promise.withResolvers<void>()
  browser.once('error', () => resolve())
  browser.once('spawn', () => resolve())
  await promise
  browser.unref()
}
