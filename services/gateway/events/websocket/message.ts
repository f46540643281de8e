import { Type } from 'typebox'
import { type Topic, topics } from '#shared/contracts/core/events.ts'
import { strict } from '#shared/contracts/common.ts'
import { BadRequestError } from '#shared/errors.ts'
import { check } from '#shared/contract/validate.ts'

/** A client's message: token, topics and start position, together or one after the other. */
const Message = strict({
  token: Type.Optional(Type.String({ minLength: 1, maxLength: 8192, description: 'A JWT or an API key' })),
  topics: Type.Optional(Type.Array(Type.Enum([...topics]), { minItems: 1, maxItems: 100 })),
  from: Type.Optional(Type.Integer({ minimum: 0, description: 'The seq of the last event that was seen' })),
})
export type ClientMessage = { token?: string; topics?: Topic[]; from?: number }

/** @throws BadRequestError or ValidationError */
export function readMessage(text: string): ClientMessage {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new BadRequestError(`The message is not valid JSON: ${(error as Error).message}`, { cause: error })
  }
  return check<ClientMessage>(Message, value)
}
