import { parse, withGlobals } from '../arguments/parse.ts'
import { readContexts, writeContexts } from '../contexts/store.ts'
import { exitCodes, usageError } from '../errors.ts'
import { rendered, write } from '../output/print.ts'
import { outputOf, targetFrom } from '../actions/options.ts'

/** `horcrux context [list | use NAME | remove NAME | show]`. Credentials are never shown. */
export async function context(words: string[]): Promise<number> {
  const parsed = parse(words, withGlobals({}), 'horcrux context')
  const [verb = 'list', name, ...more] = parsed.positionals
  if (more.length > 0) throw usageError(`'${more.join(' ')}' is one argument too many`, 'horcrux context --help')
  const stored = readContexts()
  const known = (wanted: string | undefined) => {
    if (wanted !== undefined && Object.hasOwn(stored.contexts, wanted)) return wanted
    const names = Object.keys(stored.contexts).join(', ')
    throw usageError(
      wanted === undefined ? 'name a context' : `there is no context '${wanted}'; there are ${names || 'none'}`,
      'horcrux context list',
    )
  }
  switch (verb) {
    case 'list': {
      const rows = Object.entries(stored.contexts).map(([key, { url, user, credential, certificate }]) => ({
        name: key,
        current: key === stored.current,
        url,
        user: user ?? null,
        signed_in: credential !== undefined,
        certificate: certificate === undefined ? 'by the machine' : 'pinned',
      }))
      const fields = Object.fromEntries(
        ['name', 'current', 'url', 'user', 'signed_in', 'certificate'].map((field) => [
          field,
          { type: 'any' as const },
        ]),
      )
      await write(await rendered(rows, outputOf(parsed, { noun: 'contexts', key: 'name', fields })))
      return exitCodes.done
    }
    case 'use':
      writeContexts({ ...stored, current: known(name) })
      await write(`the current context is ${name}\n`)
      return exitCodes.done
    case 'remove': {
      const gone = known(name)
      const contexts = Object.fromEntries(Object.entries(stored.contexts).filter(([key]) => key !== gone))
      writeContexts({
        contexts,
        ...(stored.current !== undefined && stored.current !== gone && { current: stored.current }),
      })
      await write(`context ${gone} is removed\n`)
      return exitCodes.done
    }
    case 'show': {
      const { url, context: current, credential } = targetFrom(parsed)
      await write(
        await rendered(
          { context: current ?? null, url, signed_in: credential !== undefined },
          outputOf(parsed, { noun: 'contexts', key: 'name' }),
        ),
      )
      return exitCodes.done
    }
    default:
      throw usageError(`there is no 'context ${verb}'; there are list, use, remove and show`, 'horcrux context --help')
  }
}
