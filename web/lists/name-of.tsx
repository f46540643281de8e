import { useCollection } from '../live/collection.ts'

/** The name of a storage pool or node, or its id as long as the list is not read or may not be. */
export function NameOf({ of, id }: { of: 'pools.list' | 'nodes.list'; id: string }) {
  const { items } = useCollection<'pools.list' | 'nodes.list'>(of)
  return <>{items.find((one) => one.id === id)?.name ?? id}</>
}
