import { AuditRecord, Checkpoint, ExportHead, type Verdict } from '#shared/contracts/core/audit.ts'
import { isValid } from '#shared/contract/validate.ts'
import { linesOf, maxLineBytes } from './lines.ts'
import { newVerifier, type Verifier, type VerifierOptions } from './verifier.ts'

/**
 * Verifies an export (`GET /api/audit/export` as NDJSON) line by line, offline: no network, no store.
 * @param lines the lines of the file without their ends
 */
export function verifyLines(lines: Iterable<string>, options: VerifierOptions = {}): Verdict {
  const verifier = newVerifier(options)
  let number = 0
  for (const line of lines) takeLine(verifier, line, ++number)
  return verifier.end()
}

/** Verifies a file of any size in bounded memory. */
export async function verifyStream(chunks: AsyncIterable<Buffer>, options: VerifierOptions = {}): Promise<Verdict> {
  const verifier = newVerifier(options)
  let number = 0
  for await (const line of linesOf(chunks)) takeLine(verifier, line, ++number)
  return verifier.end()
}

function takeLine(verifier: Verifier, line: string | null, number: number): void {
  if (line === null) return verifier.malformed(`it is longer than ${maxLineBytes / 2 ** 20} MiB`, number)
  if (line.trim() === '') return
  let piece: unknown
  try {
    piece = JSON.parse(line)
  } catch {
    return verifier.malformed('it is not JSON', number)
  }
  // JSON with a duplicate field can be read in two ways, so only the canonical text is accepted.
  if (JSON.stringify(piece) !== line.trimEnd())
    return verifier.malformed('it is not written as an export writes it', number)
  // A value that matches the schema has its type.
  if (isValid(AuditRecord, piece)) return verifier.record(piece as AuditRecord, number)
  if (isValid(Checkpoint, piece)) return verifier.checkpoint(piece as Checkpoint, number)
  if (isValid(ExportHead, piece)) return verifier.head(piece as ExportHead, number)
  verifier.malformed('it is neither a record nor a checkpoint nor a head', number)
}

/** Verifies the text of a file. */
export function verifyText(text: string, options: VerifierOptions = {}): Verdict {
  return verifyLines(text.split('\n'), options)
}
