import type { Family, Labels } from '#shared/runtime/measures.ts'

/**
 * The text formats of Prometheus: OpenMetrics 1.0 (prometheus/docs, open_metrics_spec.md) and 0.0.4. They differ in the
 * content type, the names of counters in the head, and the last line.
 */
export type Format = 'openmetrics' | 'text'

export const contentTypes: Record<Format, string> = {
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
  text: 'text/plain; version=0.0.4; charset=utf-8',
}

/** The format that an `Accept` header prefers. */
export function formatFor(accept: string | undefined): Format {
  const quality = (type: string) => {
    const entry = (accept ?? '').split(',').find((each) => each.trim().startsWith(type))
    if (entry === undefined) return 0
    return Number(/;\s*q=([\d.]+)/.exec(entry)?.[1] ?? 1)
  }
  return quality('application/openmetrics-text') > Math.max(0, quality('text/plain') - 1e-9) ? 'openmetrics' : 'text'
}

const units = ['seconds', 'bytes', 'percent']

/** The head of a family: help, type and, in OpenMetrics, the unit, which is the end of the name. */
export function headOf({ name, kind, does }: Pick<Family, 'name' | 'kind' | 'does'>, format: Format): string {
  const named = format === 'text' && kind === 'counter' ? `${name}_total` : name
  const unit = format === 'openmetrics' ? units.find((each) => name.endsWith(`_${each}`)) : undefined
  return `# HELP ${named} ${escapeHelp(does)}\n# TYPE ${named} ${kind}\n${unit ? `# UNIT ${named} ${unit}\n` : ''}`
}

/** Labels in braces; nothing for none. */
export function labelsText(labels: Labels): string {
  const all = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`)
  return all.length === 0 ? '' : `{${all.join(',')}}`
}

const escapeLabel = (text: string) => text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
const escapeHelp = (text: string) =>
  text
    .replaceAll('\\', '\\\\')
    .replaceAll('\n', '\\n')
    .replaceAll('"', String.raw`\"`)

/** A family without a sample is left out. A number that is none is left out, since a missing value has no text. */
export function familyText(family: Family, format: Format): string {
  let lines = ''
  for (const { suffix, labels, value } of family.samples())
    if (Number.isFinite(value)) lines += `${family.name}${suffix}${labelsText(labels)} ${value}\n`
  return lines === '' ? '' : headOf(family, format) + lines
}

export const endOf = (format: Format) => (format === 'openmetrics' ? '# EOF\n' : '')
