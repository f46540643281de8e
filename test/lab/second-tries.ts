import type { Reporter, TestCase } from 'vitest/node'

/**
 * Lists, after a run, the tests that passed only at their second try, with the error of the first: a race in a test or in
 * the product, to be mended although the run is green.
 */
// vitest takes the default export of a reporter.
// oxlint-disable-next-line import/no-default-export
export default class SecondTries implements Reporter {
  private readonly found: string[] = []

  onTestCaseResult(test: TestCase): void {
    if (!test.diagnostic()?.flaky) return
    const reasons = test.result().errors?.map(({ message }) => message) ?? []
    this.found.push(`${test.module.relativeModuleId} > ${test.fullName}\n    ${reasons.join('\n    ')}`)
  }

  onTestRunEnd(): void {
    if (this.found.length > 0) process.stdout.write(`\nPassed at the second try:\n  ${this.found.join('\n  ')}\n`)
  }
}
