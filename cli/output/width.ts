/** Control characters and sequences, which data must not send to a terminal; also the marks that turn the direction of text. */
// oxlint-disable-next-line no-control-regex
const control = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

/** Text of the data as a terminal may show it: one line without control characters. */
export const shown = (text: string) => text.replaceAll(/[\r\n\t]+/g, ' ').replaceAll(control, '\uFFFD')

/** East Asian wide characters and emoji take two columns (UAX 11, the ranges that matter). */
const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u

let segmenter: Intl.Segmenter | undefined
const segmentsOf = (text: string) => (segmenter ??= new Intl.Segmenter()).segment(text)

/** Columns that a text takes on a terminal. */
export function widthOf(text: string): number {
  // oxlint-disable-next-line no-control-regex
  if (/^[\u0020-\u007e]*$/.test(text)) return text.length
  let width = 0
  for (const { segment } of segmentsOf(text)) width += wide.test(segment) ? 2 : /^\p{M}/u.test(segment) ? 0 : 1
  return width
}

/** Cuts a text to a number of columns; the mark … stands for the rest. */
export function cut(text: string, columns: number): string {
  if (widthOf(text) <= columns) return text
  let kept = ''
  let width = 0
  for (const { segment } of segmentsOf(text)) {
    width += widthOf(segment)
    if (width > columns - 1) break
    kept += segment
  }
  return `${kept}…`
}

export const pad = (text: string, columns: number, isRight = false) => {
  const space = ' '.repeat(Math.max(0, columns - widthOf(text)))
  return isRight ? space + text : text + space
}
