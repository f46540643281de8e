import type { FastifyInstance } from 'fastify'
import type { Contract } from '#shared/contract/contract.ts'
import { BadRequestError, NotFoundError } from '#shared/errors.ts'
import { sendError } from './errors.ts'
import { routesOf } from './routes.ts'

/** Longest segment of a path that the router takes for a parameter, in characters. */
export const maxParamLength = 512

/** Answers what is no route; where only the method is wrong, `Allow` and the message name those that there are. */
export function addNotFound(app: FastifyInstance, contracts: readonly Contract[]): void {
  const known = routesOf(contracts).map(({ method, path }) => ({
    method,
    pattern: new RegExp(`^/api${path.replaceAll(/\{\w+\}/g, '[^/]+')}/?$`),
  }))
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0]!
    if (path.split('/').some((segment) => segment.length > maxParamLength)) {
      const long = new BadRequestError(`A part of the path is longer than ${maxParamLength} characters`)
      return sendError(long, request, reply)
    }
    const methods = known.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method)
    const message = `There is no ${request.method} ${path}`
    if (methods.length === 0) return sendError(new NotFoundError(message, { details: { path } }), request, reply)
    const allow = methods.toSorted()
    void reply.header('allow', allow.join(', '))
    const hint = `${message}; there is ${allow.join(', ')}`
    return sendError(new NotFoundError(hint, { details: { path, allow } }), request, reply)
  })
}
