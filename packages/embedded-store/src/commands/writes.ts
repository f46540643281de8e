import type { Doc } from '../values/bson.ts'
import type { Catalog } from '../storage/catalog.ts'
import type { Command } from '../wire/command.ts'
import { create, drop, dropDatabase } from './collections.ts'
import { remove } from './delete.ts'
import { findAndModify } from './find-and-modify.ts'
import { createIndexes, dropIndexes } from './indexes.ts'
import { insert } from './insert.ts'
import { update } from './update.ts'

/** The commands that change something, run by the writer's thread one after the other. */
export const WRITES: Record<string, (catalog: Catalog, command: Command) => Doc> = {
  insert,
  update,
  delete: remove,
  findAndModify,
  findandmodify: findAndModify,
  create,
  drop,
  dropDatabase,
  createIndexes,
  dropIndexes,
  deleteIndexes: dropIndexes,
}
