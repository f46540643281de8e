/** One measured figure, and what it is to be: at least or below something. */
export type Row = { what: string; value: number; unit: string; atLeast?: number; below?: number }

/** The longest time that Horcrux may need beyond the bare tool, for a snapshot, its restore and a linked clone. */
export const mostMoreMs = 150

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** The wanted value of a figure and the verdict; empty without one. */
export function verdict({ value, atLeast, below }: Row): string {
  if (atLeast !== undefined) return `wanted at least ${atLeast}: ${value >= atLeast ? 'met' : 'MISSED'}`
  if (below !== undefined) return `wanted below ${below}: ${value < below ? 'met' : 'MISSED'}`
  return ''
}

export function print(rows: Row[]): void {
  const width = Math.max(...rows.map(({ what }) => what.length))
  for (const row of rows) {
    const { what, value, unit } = row
    const figure = `${what.padEnd(width)}  ${value.toFixed(value < 10 ? 2 : 1).padStart(10)} ${unit.padEnd(2)}`
    process.stdout.write(`${figure}  ${verdict(row)}`.trimEnd() + '\n')
  }
}
