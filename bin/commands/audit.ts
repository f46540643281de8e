import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { config } from '#shared/config/config.ts'
import type { Finding, Verdict } from '#shared/contracts/core/audit.ts'
import { fingerprintOf, readPublicKey } from '../../services/audit/verify/public-key.ts'
import { publicKeyOf, signingKeyFrom } from '../../services/audit/chain/signing.ts'
import { verifyStream } from '../../services/audit/verify/verify-file.ts'
import { UsageError } from '../arguments.ts'
import { useRunningInstance } from '../running-instance.ts'

const usage = `Usage: horcrux audit verify FILE [--key KEYFILE] [-o json]
       horcrux audit key

verify  proves an export of the audit without asking Horcrux, and says where it was tampered with: each record that was
        altered, dropped, moved, put in or cut off, by its line and its place in the chain (seq). FILE is what
        GET /api/audit/export with "Accept: application/x-ndjson" answered; - is standard input.
        --key KEYFILE  the installation's public key, as 'horcrux audit key' or GET /api/audit/key told it, or in PEM.
                       Without it the file's own word is taken for it, and its fingerprint is shown: compare it.
        -o json        the verdict as JSON, with at most 1,000 findings
        Exit code: 0 the export is whole and untouched, 1 it is not, 2 it could not be looked at.
key     prints the public key of the running installation, else the one of HORCRUX_DATA.
`

const say = (text: string) => void process.stdout.write(`${text}\n`)
const note = (text: string) => void process.stderr.write(`${text}\n`)

/** `horcrux audit verify FILE` and `horcrux audit key`. @returns the exit code, as the usage says */
export async function audit(words: string[]): Promise<number> {
  const { values, positionals } = parsed(words)
  const [verb, file, ...more] = positionals
  if (values.help) {
    process.stdout.write(usage)
    return 0
  }
  if (verb === 'key' && file === undefined) return tellKey()
  if (verb !== 'verify' || file === undefined || more.length > 0)
    throw new UsageError(`${mistakeIn(verb, more)}: audit verify FILE [--key KEYFILE], or audit key; see audit --help`)
  if (!['text', 'json'].includes(values.output))
    throw new UsageError(`-o: must be text or json, not '${values.output}'`)
  const publicKey = values.key === undefined ? undefined : await keyIn(values.key)
  return verify(file, publicKey, values.output === 'json')
}

function mistakeIn(verb: string | undefined, more: string[]): string {
  if (verb === 'verify') return more.length > 0 ? 'one file at a time' : 'name the file'
  return verb === undefined || verb === 'key' ? 'say what to do' : `there is no 'audit ${verb}'`
}

function parsed(words: string[]) {
  const options = {
    key: { type: 'string' },
    output: { type: 'string', short: 'o', default: 'text' },
    help: { type: 'boolean', short: 'h', default: false },
  } as const
  try {
    return parseArgs({ args: words, options, strict: true, allowPositionals: true })
  } catch (error) {
    // Node's message continues with advice about file names that begin with a hyphen.
    throw new UsageError((error as Error).message.split('. ')[0]!, { cause: error })
  }
}

async function keyIn(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((error: Error) => {
    throw new UsageError(`--key: ${error.message}`, { cause: error })
  })
  const key = readPublicKey(text)
  if (key === null) throw new UsageError(`--key: ${file} holds no Ed25519 public key`)
  return key
}

function tellKey(): number {
  const running = useRunningInstance()
  const { secretKey, dataDir } = config()
  if (secretKey === undefined && !running)
    throw new UsageError(
      `no Horcrux runs here, and there is no HORCRUX_SECRET_KEY, nor one in HORCRUX_DATA (${dataDir})`,
    )
  const own = secretKey === undefined ? undefined : publicKeyOf(signingKeyFrom(secretKey))
  const isGiven = ['HORCRUX_SECRET_KEY', 'HORCRUX_SECRET_KEY_FILE'].some((name) => process.env[name]?.trim())
  if (running && isGiven && own !== running.audit_key)
    throw new UsageError(`the Horcrux that runs on ${dataDir} has another HORCRUX_SECRET_KEY than this command`)
  const key = running?.audit_key ?? own!
  say(key)
  note(`fingerprint: ${fingerprintOf(key)}`)
  note(`of: ${running ? `the Horcrux that runs on ${dataDir}` : `HORCRUX_DATA ${dataDir}; no Horcrux runs on it`}`)
  return 0
}

async function verify(file: string, publicKey: string | undefined, asJson: boolean): Promise<number> {
  const chunks = file === '-' ? process.stdin : createReadStream(file, { highWaterMark: 2 ** 18 })
  const held = holdBack((finding) => asJson || say(lineOf(finding)))
  let hasHead = true
  const onFinding = (finding: Finding) => {
    if (finding.problem === 'unanchored') hasHead = false
    held.take(finding)
  }
  let verdict: Verdict
  try {
    verdict = await verifyStream(chunks, { publicKey, onFinding })
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${(error as Error).message}`, { cause: error })
  }
  if (!hasHead && verdict.records === 0 && verdict.checkpoints === 0)
    throw new UsageError(
      `${file} is no export of the audit: it contains neither a head nor a record. Get one by GET /api/audit/export with 'Accept: application/x-ndjson'`,
    )
  held.giveAll()
  if (asJson) say(JSON.stringify(verdict, null, 2))
  else say(summaryOf(verdict))
  if (publicKey === undefined && verdict.public_key !== null)
    note(
      `No --key was given: the key is the one in the file, ${fingerprintOf(verdict.public_key)}. A file that was rewritten as a whole would pass: compare the key with the one you know.`,
    )
  return verdict.valid ? 0 : 1
}

/** Holds back the first findings: if the file turns out to be no export at all, one message replaces them. */
function holdBack(tell: (finding: Finding) => unknown) {
  const held: Finding[] = []
  let isHolding = true
  const giveAll = () => {
    isHolding = false
    for (const finding of held.splice(0)) tell(finding)
  }
  const take = (finding: Finding) => {
    if (!isHolding) return tell(finding)
    held.push(finding)
    if (held.length >= 1000) giveAll()
  }
  return { take, giveAll }
}

const lineOf = ({ line, problem, message }: Finding) => `${line === null ? '' : `line ${line}: `}${problem}: ${message}`

function summaryOf({ valid, records, from_seq, to_seq, checkpoints, removed, head_hash }: Verdict): string {
  const which =
    records === 0 ? 'no records' : `${records} records, ${from_seq} to ${to_seq}, ${checkpoints} checkpoints`
  const without = removed > 0 ? `; personal data was removed from ${removed}` : ''
  return valid
    ? `VALID: ${which}${without}. Hash of the last: ${head_hash ?? 'none'}`
    : `TAMPERED WITH, or incomplete: ${which}${without}`
}
