import { expect, test } from 'vitest'
import { asideOf, markIn } from '#shared/nodes/host/made-files.ts'
import { type RequestContext, within } from '#shared/runtime/request-context.ts'
import { isOlder, readMark, textOfMark, tryMark } from '#shared/runtime/try-mark.ts'

const operation = '0198d1c5-7b1e-7000-8000-000000000001'
const other = '0198d1c5-7b1e-7000-8000-000000000002'
const [first, second] = ['0198d1c5-7b1e-7000-8000-00000000000a', '0198d1c5-7b1e-7000-8000-00000000000b'] as const
const mark = { operation, epoch: 2, call: first, number: 1 }

/** Work of a call that comes from an operation; the other fields of the context are of no use here. */
const inCall = <T>(context: Partial<RequestContext>, work: () => T): T => within(context as RequestContext, work)

test('a mark is read back from the name of the file that it is in', () => {
  expect(readMark(textOfMark(mark))).toEqual(mark)
  expect(markIn(`my.disk.qcow2.${textOfMark(mark)}.new`)).toEqual({ ...mark, of: 'my.disk.qcow2' })
  for (const name of ['disk.qcow2', 'disk.qcow2.new', `${operation}.new`, `disk.${operation}.1.new`])
    expect(markIn(name), name).toBeNull()
})

test('a file that an earlier version has made aside is read as one of its copy', () => {
  expect(markIn(`disk.qcow2.${operation}.new`)).toMatchObject({ of: 'disk.qcow2', operation, epoch: 0 })
})

test('tries of one operation are in order of run, call and number; those of others are in none', () => {
  const later = [
    { ...mark, number: 2 },
    { ...mark, call: second },
    { ...mark, epoch: 3, call: '0198d1c5-7b1e-7000-8000-000000000000' },
  ]
  for (const each of later) expect([isOlder(mark, each), isOlder(each, mark)]).toEqual([true, false])
  expect(isOlder(mark, mark)).toBe(false)
  const stranger = { ...mark, operation: other, epoch: 9 }
  expect([isOlder(mark, stranger), isOlder(stranger, mark)]).toEqual([false, false])
})

test('the mark of a try names the run of the operation that works, or that has called', () => {
  const run = { operation, epoch: 4 }
  const call = { id: second, number: 3 }
  expect(inCall({ calledBy: run, call }, tryMark)).toEqual({ ...run, call: second, number: 3 })
  expect(inCall({ fence: run, calledBy: { operation: other, epoch: 1 } }, tryMark)).toMatchObject(run)
  expect(inCall({ call }, tryMark)).toEqual({ operation: second, epoch: 0, call: second, number: 3 })
  expect(asideOf('/pool/disk.raw')).not.toBe(asideOf('/pool/disk.raw'))
})
