import { type Static, type TObject, type TProperties, type TUnsafe, Type } from 'typebox'
import { Id, Path, strict } from '#shared/contracts/common.ts'

/** Image files in a folder of one node. */
const dir = {
  given: { node: Type.String({ ...Id, default: 'local' }), path: Type.Optional(Path) },
  config: { node: Id, path: Path },
}

/**
 * The kinds of storage pools. `config` has the fields of a pool that only its kind has; `given` has them as a request
 * to create one, where the driver fills in what is left out.
 */
export const poolKinds = { dir }

type Kinds = typeof poolKinds
export type PoolType = keyof Kinds
type Branch<K extends Record<string, Record<P, TProperties>>, P extends string, C extends TProperties> = {
  [T in keyof K & string]: Static<TObject<C>> & { type: T } & Static<TObject<K[T][P]>>
}[keyof K & string]

/** The configuration of a storage pool, as its driver gets it. */
export type PoolConfig<K extends PoolType = PoolType> = { [T in K]: Static<TObject<Kinds[T]['config']>> }[K]
/** The configuration as a caller asks for it. */
export type GivenConfig<K extends PoolType = PoolType> = { [T in K]: Static<TObject<Kinds[T]['given']>> }[K]

/** A union with one branch per kind: the common fields, `type`, and those of the kind. */
export const byKind = <K extends Record<string, Record<P, TProperties>>, P extends string, C extends TProperties>(
  kinds: K,
  part: P,
  common: C,
): TUnsafe<Branch<K, P, C>> =>
  Type.Union(
    Object.entries(kinds).map(([type, kind]) => strict({ ...common, type: Type.Literal(type), ...kind[part] })),
    // TypeBox infers no union from a list of unknown length.
  ) as unknown as TUnsafe<Branch<K, P, C>>
