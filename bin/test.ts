import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { install, packagesOf } from '#shared/platform/apt.ts'
import { requirements } from '#shared/platform/requirements.ts'

/**
 * `npm test [-- words for vitest]`: installs the requirements of the tests and runs all tests; without words after
 * checking types and style. The last line has the numbers of passed and failed tests.
 */
const root = fileURLToPath(new URL('..', import.meta.url))
const bin = (name: string) => join(root, 'node_modules/.bin', name)
const say = (text: string) => void process.stderr.write(`${text}\n`)

/** Runs a program on this terminal. @returns its exit code; 1 if a signal ended it */
function run(program: string, words: string[]): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const child = spawn(program, words, { cwd: root, stdio: 'inherit' })
  child.once('error', reject).once('exit', (code) => resolve(code ?? 1))
  return promise
}

/** The used fields of vitest's JSON report. */
type Report = {
  numPassedTests: number
  numFailedTests: number
  testResults: { name: string; status: string; assertionResults: { status: string }[] }[]
}
type Counts = { passed: number; failed: number }

/** More failed files than this are no lost race: they are not run again. */
const mostRunAgain = 6

/** A file that could not be loaded or set up counts as one failure. */
function countOf({ numPassedTests, numFailedTests, testResults }: Report): Counts {
  const brokenFiles = testResults.filter(
    ({ status, assertionResults }) => status === 'failed' && !assertionResults.some((one) => one.status === 'failed'),
  )
  return { passed: numPassedTests, failed: numFailedTests + brokenFiles.length }
}

/** Runs vitest. @returns its exit code, and its report unless it ended without one */
async function runVitest(words: string[]): Promise<{ code: number; report: Report | null }> {
  const folder = await mkdtemp(join(tmpdir(), 'horcrux-report-'))
  const file = join(folder, 'report.json')
  try {
    const secondTries = `--reporter=${join(root, 'test/lab/second-tries.ts')}`
    const reporters = ['--reporter=default', secondTries, '--reporter=json', `--outputFile.json=${file}`]
    const code = await run(process.execPath, [bin('vitest'), 'run', ...reporters, ...words])
    const text = await readFile(file, 'utf8').catch(() => null)
    return { code, report: text === null ? null : (JSON.parse(text) as Report) }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/**
 * Runs the tests. A few files that failed in a run of all are run again, by themselves and in a lab of their own: on a machine
 * that runs real daemons for an hour, a lost race or the remains of another file shall not hide what the other tests say.
 * Lists the files that pass only then.
 */
async function runTests(words: string[]): Promise<Counts & { code: number }> {
  const whole = await runVitest(words)
  if (!whole.report) return { code: whole.code || 1, passed: 0, failed: 1 }
  const counts = countOf(whole.report)
  const failed = whole.report.testResults.filter(({ status }) => status === 'failed')
  if (words.length > 0 || failed.length === 0 || failed.length > mostRunAgain) return { code: whole.code, ...counts }

  const files = failed.map(({ name }) => relative(root, name))
  process.stdout.write(`\n${files.length} files failed and are run again by themselves:\n  ${files.join('\n  ')}\n`)
  const again = await runVitest(files)
  if (!again.report) return { code: again.code || 1, ...counts }
  const second = countOf(again.report)
  if (second.failed === 0) process.stdout.write(`\nPassed only by themselves:\n  ${files.join('\n  ')}\n`)
  const before = failed.flatMap(({ assertionResults }) => assertionResults.filter(({ status }) => status === 'passed'))
  return { code: again.code, passed: counts.passed - before.length + second.passed, failed: second.failed }
}

async function main(words: string[]): Promise<number> {
  // vitest handles these signals and stops its daemons; this process waits for it.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {})
  const { stillMissing, problem } = await install(localHost(), requirements, say)
  if (stillMissing.length > 0)
    say(`Some tests are skipped; missing: ${packagesOf(stillMissing).join(' ')}${problem ? ` (${problem})` : ''}`)
  // More checkers of types than one do the contracts' types again each: twice the work of two cores.
  const checks: [string, string[]][] = [
    ['tsc', ['--checkers', '1']],
    ['oxlint', []],
  ]
  for (const [check, options] of words.length > 0 ? [] : checks) {
    const code = await run(bin(check), options)
    if (code !== 0) {
      process.stdout.write(`${check} failed; no test was run\n0 passed, 1 failed\n`)
      return code
    }
  }
  const { code, passed, failed } = await runTests(words)
  if (passed + failed === 0) say('No test was run')
  process.stdout.write(`${passed} passed, ${failed} failed\n`)
  return code || (passed === 0 || failed > 0 ? 1 : 0)
}

process.exitCode = await main(process.argv.slice(2))
