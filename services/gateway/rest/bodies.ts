import { isUtf8 } from 'node:buffer'
import type { FastifyInstance } from 'fastify'
import { BadRequestError } from '#shared/errors.ts'

/** Limit of nesting, far above any real body: JSON.parse takes thousands of levels, JSON.stringify does not. */
const maxDepth = 100

/** Accepts JSON bodies only. An empty body counts as none, with any content type. */
export function addBodies(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  // curl -d '' says that nothing at all is a form.
  app.addHook('onRequest', ({ headers }, _, done) => {
    if (headers['content-length'] === '0') delete headers['content-type']
    done()
  })
  app.addContentTypeParser(/^application\/([\w.-]+\+)?json\b/, { parseAs: 'buffer' }, (request, body, done) => {
    if (body.length === 0) return done(null, undefined)
    if (!isUtf8(body as Buffer)) return done(new BadRequestError('The body is not UTF-8'))
    const text = body.toString()
    parse(request, text, (error, value) => {
      if (error) done(malformed(text))
      else if (isDeeperThan(maxDepth, value))
        done(new BadRequestError(`The body is nested deeper than ${maxDepth} levels`, { details: { limit: maxDepth } }))
      else done(null, value)
    })
  })
}

function isDeeperThan(limit: number, value: unknown): boolean {
  let level = [value]
  for (let depth = 0; level.length > 0; depth++) {
    level = level.flatMap((one) => (typeof one === 'object' && one !== null ? Object.values(one) : []))
    if (depth >= limit && level.length > 0) return true
  }
  return false
}

/**
 * V8 says where a JSON text is wrong, as `… in JSON at position 12 (line 2 column 3)`, or by quoting what is around it.
 * A quotation is left out: there may be a password in it.
 */
function malformed(text: string): BadRequestError {
  try {
    JSON.parse(text)
    return new BadRequestError(
      'The body names a property (__proto__, constructor.prototype) that no JSON here may have',
    )
  } catch (error) {
    const message = (error as SyntaxError).message.replace(/, (?:\.\.\.)?".*$/s, '')
    const [, position, line, column] = /at position (\d+)(?: \(line (\d+) column (\d+)\))?/.exec(message) ?? []
    const where = { position: Number(position), line: Number(line), column: Number(column) }
    return new BadRequestError(`The body is not valid JSON: ${message}`, {
      details: position === undefined ? {} : where,
    })
  }
}
