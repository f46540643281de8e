import type { Contract } from '#shared/contract.ts'
import { auth } from '#shared/contracts/auth.ts'
import { operations } from '#shared/contracts/operations.ts'

/** Every contract that there is: routes, OpenAPI and clients are made from this list. */
export const contracts: readonly Contract[] = [auth, operations]
