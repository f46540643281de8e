import { existsSync } from 'node:fs'
import type { Service } from '#shared/start.ts'

const names = ['audit', 'auth', 'cluster', 'storage', 'vm', 'gateway'] as const

/** All parts of Horcrux, the one that others need first at the front; the gateway opens its door last. */
export async function allServices(): Promise<Service[]> {
  const there = names.filter((name) => existsSync(new URL(`../services/${name}/service.ts`, import.meta.url)))
  return Promise.all(
    there.map(async (name) => (await import(`../services/${name}/service.ts`))[`${name}Service`] as Service),
  )
}
