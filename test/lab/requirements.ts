/** What REQUIRED names, such as `libvirt,nats,ssh`: in CI all of it, and then nothing may be skipped. */
const required = new Set((process.env['REQUIRED'] ?? '').split(',').map((word) => word.trim()))

/**
 * Whether the tests that need `name` can run: true when `problems` is empty. Otherwise they are skipped aloud, or, when
 * REQUIRED names it, this throws.
 */
export function available(name: string, problems: readonly string[]): boolean {
  if (problems.length === 0) return true
  const what = `${name}: missing ${problems.join(', ')}`
  if (required.has(name)) throw new Error(`REQUIRED=${name}, but ${what}`)
  console.warn(`\nSKIPPED the tests that need ${what} (REQUIRED=${name} makes it a failure)\n`)
  return false
}
