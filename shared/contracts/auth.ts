import { Type } from 'typebox'
import { contract } from '#shared/contract.ts'
import { strict, Time } from '#shared/contracts/common.ts'
import { privileges } from '#shared/privileges.ts'

const ProofKind = Type.Enum(['session', 'token', 'api_key'])

export const auth = contract('auth', {
  identify: {
    does: 'Tell who it is that shows this credential',
    can: 'service',
    params: strict({ by: ProofKind, credential: Type.String(), address: Type.String() }),
    result: strict({
      user: Type.String(),
      rights: Type.String({ description: 'Name of the rights, by their content' }),
      proof: strict({ by: ProofKind, id: Type.String() }),
      expires_at: Time,
    }),
    secret: ['credential'],
  },
  rights: {
    does: 'Look up the rights that have this name',
    can: 'service',
    params: strict({ name: Type.String() }),
    result: strict({
      rights: Type.Array(strict({ path: Type.String(), privileges: Type.Array(Type.Enum([...privileges])) })),
    }),
  },
})
