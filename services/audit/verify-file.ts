import { AuditRecord, Checkpoint, ExportHead, type Verdict } from '#shared/contracts/audit.ts'
import { isValid } from '#shared/validate.ts'
import { newVerifier, type Verifier } from './verifier.ts'

/**
 * Proves an export of the audit (`GET /api/audit/export` as NDJSON) line by line, without Horcrux: no network, no store.
 * @param lines the file's lines, without their line ends
 * @param publicKey the installation's, when it is known; otherwise the one that the export names is taken for it, and
 * whoever wrote the whole file anew would not be found out: compare `public_key` of the verdict
 */
export function verifyLines(lines: Iterable<string>, { publicKey }: { publicKey?: string } = {}): Verdict {
  const verifier = newVerifier({ publicKey })
  let number = 0
  for (const line of lines) {
    number++
    if (line.trim() !== '') takeLine(verifier, line, number)
  }
  return verifier.end()
}

function takeLine(verifier: Verifier, line: string, number: number): void {
  let piece: unknown
  try {
    piece = JSON.parse(line)
  } catch {
    return verifier.malformed('it is not JSON', number)
  }
  // What has its schema's shape has its type.
  if (isValid(AuditRecord, piece)) return verifier.record(piece as AuditRecord, number)
  if (isValid(Checkpoint, piece)) return verifier.checkpoint(piece as Checkpoint, number)
  if (isValid(ExportHead, piece)) return verifier.head(piece as ExportHead, number)
  verifier.malformed('it is neither a record nor a checkpoint nor a head', number)
}

/** The same over the text of a file. */
export const verifyText = (text: string, options: { publicKey?: string } = {}): Verdict =>
  verifyLines(text.split('\n'), options)
