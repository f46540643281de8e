import type { SavedContainer } from '#shared/contracts/container/saved-container.ts'

/**
 * The container without the values of its own variables: they often are passwords, and a reader of a store in
 * clear would have them. Variables of its image stay, because they are in the image.
 */
export const withoutSecrets = (container: SavedContainer): SavedContainer => ({ ...container, env: {} })

/** Names of variables whose values a backup does not have. */
export const missingEnv = ({ env, env_names }: Pick<SavedContainer, 'env' | 'env_names'>): string[] =>
  env_names.filter((name) => !(name in env))
