/** The most similar word: at most two edits away, or with the same beginning. */
export function nearestWord(word: string, words: readonly string[]): string | undefined {
  const ranked = words.map((one) => ({ one, away: distance(word, one) })).sort((a, b) => a.away - b.away)
  const [best] = ranked
  if (best && best.away <= 2) return best.one
  return word.length >= 2 ? words.find((one) => one.startsWith(word)) : undefined
}

/** Levenshtein's edit distance. */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (const [i, letter] of [...from].entries()) {
    const next = [i + 1]
    for (const [j, other] of [...to].entries())
      next.push(Math.min((next[j] ?? 0) + 1, (row[j + 1] ?? 0) + 1, (row[j] ?? 0) + (letter === other ? 0 : 1)))
    row = next
  }
  return row[to.length] ?? 0
}
