import { type Named, useName } from '../live/names.ts'
import type { Column } from '../widgets/column.ts'
import type { Word } from '../words/words.ts'

/** The name of a storage pool or node, or its id as long as the list is not read or may not be. */
export function NameOf({ of, id }: { of: Named; id: string }) {
  return <>{useName(of, id) ?? id}</>
}

/** A column of the storage pools of records. */
export const poolColumn = <T extends { pool: string }>(drop: 1 | 2): Column<T> => ({
  key: 'pool',
  head: 'f.pool',
  cell: ({ pool }) => <NameOf of="pools.list" id={pool} />,
  value: ({ pool }) => pool,
  drop,
})

/** A column of the nodes of records. */
export const nodeColumn = <T extends { node: string }>(head: Word): Column<T> => ({
  key: 'node',
  head,
  cell: ({ node }) => <NameOf of="nodes.list" id={node} />,
  value: ({ node }) => node,
  drop: 1,
})
