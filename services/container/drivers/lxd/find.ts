import { NotFoundError } from '#shared/errors.ts'
import type { Api } from '#shared/nodes/lxd/client.ts'
import { type Instance, uuidOf } from './instance.ts'

export const instancePath = (name: string) => `/1.0/instances/${encodeURIComponent(name)}`

export const instancesOf = async (api: Api): Promise<Instance[]> =>
  ((await api.get<Instance[] | null>('/1.0/instances?recursion=1')) ?? []).filter(({ type }) => type === 'container')

/** @returns null where there is none */
export async function unlessGone<T>(work: Promise<T>): Promise<T | null> {
  try {
    return await work
  } catch (error) {
    if (error instanceof NotFoundError) return null
    throw error
  }
}

export const named = (api: Api, name: string) => unlessGone(api.get<Instance>(instancePath(name)))

/** Finds instances by the engine's UUID, which no path of the API takes: the last names are tried first. */
export function finder() {
  const names = new Map<string, string>()

  const remember = (instances: Instance[]) => {
    for (const instance of instances) names.set(uuidOf(instance), instance.name)
  }

  return {
    remember,
    /** The UUID that an instance of this name had, when it was last seen. */
    lastUuidOf: (name: string) => [...names].find(([, known]) => known === name)?.[0],
    find: async (api: Api, uuid: string): Promise<Instance | null> => {
      const name = names.get(uuid)
      const there = name === undefined ? null : await named(api, name)
      if (there && uuidOf(there) === uuid) return there
      const all = await instancesOf(api)
      names.clear()
      remember(all)
      return all.find((instance) => uuidOf(instance) === uuid) ?? null
    },
  }
}
