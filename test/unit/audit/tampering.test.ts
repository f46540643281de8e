import { expect, test } from 'vitest'
import type { AuditRecord } from '#shared/contracts/core/audit.ts'
import { publicKeyOf, signingKeyFrom } from '../../../services/audit/chain/signing.ts'
import { verifyLines, verifyText } from '../../../services/audit/verify/verify-file.ts'
import { chainOf, exportOf, publicKey } from './exports.ts'
import { tampering } from './tampering-property.ts'

const records = chainOf(60)
const lines = exportOf(records)
const text = `${lines.join('\n')}\n`
const check = (tampered: readonly string[]) => verifyLines(tampered, { publicKey })

test.for(Object.entries(tampering))('%s (a sample)', ([, isFound]) => isFound(10))

test('an untouched export is valid, with and without knowing the key', () => {
  expect(check(lines)).toMatchObject({
    valid: true,
    records: 60,
    from_seq: 1,
    to_seq: 60,
    checkpoints: 6,
    findings: [],
  })
  expect(verifyText(text)).toMatchObject({ valid: true, public_key: publicKey })
})

test('an export signed with another key is refused when the right one is known', () => {
  const stranger = publicKeyOf(signingKeyFrom('somebody else entirely, with a key of their own'))
  const { valid, findings } = verifyLines(lines, { publicKey: stranger })
  expect(valid).toBe(false)
  expect(findings[0]!.problem).toBe('signature')
})

test('records without a signed head are not proven to be all', () => {
  const { valid, findings } = check(lines.filter((line) => !line.includes('"type"')))
  expect(valid).toBe(false)
  expect(findings).toMatchObject([{ problem: 'unanchored' }])
})

test('removed personal data leaves the proof valid; invented data does not', () => {
  const removed = records.map((record) => {
    const { user: _, address: __, ...salts } = record.salts
    return { ...record, user: null, address: null, salts }
  })
  expect(check(exportOf(removed as AuditRecord[]))).toMatchObject({ valid: true, removed: 60 })
  const invented = removed.with(30, { ...removed[30]!, user: null, address: '203.0.113.5' as never })
  expect(check(exportOf(invented as AuditRecord[])).findings[0]).toMatchObject({ seq: 31, problem: 'altered' })
})

test('a field that is there twice, once as a reader would like it, is found', () => {
  const twice = lines[9]!.replace('"result":"success"', '"result":"failure","result":"success"')
  expect(check(lines.with(9, twice)).findings[0]).toMatchObject({ line: 10, seq: 9, problem: 'malformed' })
})
