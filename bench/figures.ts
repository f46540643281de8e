/** One measured figure. */
export type Row = { what: string; value: number; unit: string }

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

export function print(rows: Row[]): void {
  const width = Math.max(...rows.map(({ what }) => what.length))
  for (const { what, value, unit } of rows)
    process.stdout.write(`${what.padEnd(width)}  ${value.toFixed(value < 10 ? 2 : 1).padStart(10)} ${unit}\n`)
}
