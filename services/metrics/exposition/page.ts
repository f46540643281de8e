import { columns, type SubjectKind } from '#shared/contracts/metrics/catalog.ts'
import { type Format, headOf, labelsText } from '#shared/runtime/exposition.ts'
import { idOf, type SubjectName } from '../history/chunks.ts'
import type { Ring } from '../history/ring.ts'

/** A subject on the page: the labels of its series, and those of its info series. */
export type Exposed = { subject: SubjectName; ring: Ring | undefined; info: Record<string, string> }

/** The label that names a subject, and the beginning of the names of its metrics. */
const words: Record<SubjectKind, { label: string; prefix: string }> = {
  nodes: { label: 'node', prefix: 'horcrux_node' },
  vms: { label: 'vm', prefix: 'horcrux_vm' },
  containers: { label: 'container', prefix: 'horcrux_container' },
}

/** Samples that are older than this are not told: Prometheus would take them for those of now. Milliseconds. */
const freshMs: Record<SubjectKind, number> = { nodes: 12_500, vms: 25_000, containers: 25_000 }

/**
 * The metrics of the subjects of one kind, straight from their last samples. A missing number has no line, and a subject
 * that is not there any more has none at all. Only the info series says on which node a VM or container is, so that a move begins no
 * new series.
 */
export function subjectsText(kind: SubjectKind, all: readonly Exposed[], format: Format, now: number): string {
  const { label, prefix } = words[kind]
  const labelled = all.map(({ subject, ring, info }) => ({
    labels: labelsText({ [label]: idOf(subject) }),
    info: labelsText({ [label]: idOf(subject), ...info }),
    cells: ring && now - ring.lastTime() <= freshMs[kind] ? ring.newest() : undefined,
    age: ring && ring.size() > 0 ? Math.max(0, now - ring.lastTime()) / 1000 : undefined,
  }))
  let text = ''
  const family = (name: string, type: 'gauge' | 'counter', does: string, lines: string) => {
    if (lines !== '') text += headOf({ name, kind: type, does }, format) + lines
  }
  let lines = ''
  for (const { info } of labelled) lines += `${prefix}_info${info} 1\n`
  family(`${prefix}_info`, 'gauge', 'Names of the metrics of this id', lines)
  lines = ''
  for (const { labels, age } of labelled)
    if (age !== undefined) lines += `${prefix}_sample_age_seconds${labels} ${age}\n`
  family(`${prefix}_sample_age_seconds`, 'gauge', 'Time since the measurement', lines)
  for (const [index, [column, { kind: type, does }]] of Object.entries(columns[kind]).entries()) {
    const name = `${prefix}_${column}`
    const sampleName = type === 'counter' ? `${name}_total` : name
    lines = ''
    for (const { labels, cells } of labelled) {
      const value = cells?.[index]
      if (value !== undefined && !Number.isNaN(value)) lines += `${sampleName}${labels} ${value}\n`
    }
    family(name, type, does, lines)
  }
  return text
}
