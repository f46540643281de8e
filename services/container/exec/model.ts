import { Type } from 'typebox'
import { strict, Time, Version } from '#shared/contracts/common.ts'
import { collection } from '#shared/db/collection.ts'

/** Commands that have been begun, by the id of their operation: a command must not run twice. */
export const execRecords = collection(
  'container_execs',
  strict({ id: Type.String(), container_id: Type.String(), created_at: Time, version: Version }),
  { kind: 'Command' },
)
