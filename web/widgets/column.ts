import type { ComponentChildren } from 'preact'
import type { Word } from '../words/words.ts'
import type { Sortable } from './rows.ts'

export type Column<T> = Sortable<T> & {
  head: Word
  cell: (item: T) => ComponentChildren
  isNumeric?: boolean
  /** Left out on narrow screens: 1 first, 2 later. */ drop?: 1 | 2
}
