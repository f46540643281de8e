import { hash } from 'node:crypto'
import { PreconditionFailedError } from '#shared/errors.ts'
import { requestContext } from '#shared/runtime/request-context.ts'

/**
 * Gives a plan its hash.
 * @param effects what the plan does: two plans with the same effects have the same hash. Nothing in it changes by itself,
 *   such as a time or a measurement
 */
export const planned = <T extends object>(plan: T, effects: object = plan): T & { plan_id: string } => ({
  ...plan,
  plan_id: hash('sha256', JSON.stringify(effects), 'base64url'),
})

/**
 * Checks the call's `If-Plan` before a plan is carried out.
 * @throws PreconditionFailedError with the plan of now, when the caller has seen another one
 */
export function requirePlan(plan: { plan_id: string }): void {
  const ifPlan = requestContext()?.ifPlan
  if (ifPlan === undefined || ifPlan === plan.plan_id) return
  throw new PreconditionFailedError('The plan that If-Plan names is not the plan of now: look at the new one', {
    details: { plan },
  })
}
