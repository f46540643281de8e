import type { Param } from './types.ts'

/** Names of the resources in all examples, by the parameter that names one. */
const resources: Record<string, string | undefined> = {
  vm: 'web-1',
  user: 'ann',
  name: 'one',
  node: 'local',
  pool: 'main',
  container: 'web',
  resource_pool: 'team-a',
}

/** The resource of the examples that a word such as `node` or `vm` stands for. */
export const resourceInExamples = (word: string): string | undefined => resources[word]

/** A text that a parameter can have: a resource of the examples, else the example of the contract; none for a new id. */
export function exampleOf({ name, example }: Pick<Param, 'name' | 'example'>): string | undefined {
  if (name === 'id') return undefined
  return example && (resources[name.replace(/^(source|target)_|_id$/g, '')] ?? example)
}
