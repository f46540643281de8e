import { commonHeaders } from './parts.ts'

export type Json = Record<string, unknown>

export const refused = (...statuses: number[]) =>
  Object.fromEntries(statuses.map((status) => [status, { $ref: `#/components/responses/E${status}` }]))
export const text = { type: 'string' }
export const parameter = (where: 'path' | 'query' | 'header', name: string, description: string, required = false) => ({
  name,
  in: where,
  required: required || where === 'path',
  description,
  schema: text,
})
export const file = (mediaType: string, description: string) => ({
  200: { description, headers: commonHeaders, content: { [mediaType]: { schema: text } } },
})
