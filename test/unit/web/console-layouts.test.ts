import { expect, test } from 'vitest'
import { missingIn, strokesFor } from '../../../web/console/layouts.js'

const printable = Array.from({ length: 95 }, (_, at) => String.fromCodePoint(32 + at)).join('') + '\n\t'

test.each(['us', 'de'])(
  'the layout %s has a stroke for each sign of ASCII, and no two signs have the same',
  (layout) => {
    expect(missingIn(layout, printable)).toBe('')
    const strokes = [...printable].map((sign) => JSON.stringify(strokesFor(layout, sign)))
    expect(new Set(strokes).size).toBe(printable.length)
  },
)

test('signs are written with Shift, AltGr and dead keys, and a sign without a key is told', () => {
  expect(strokesFor('us', 'aB?')).toEqual([['KeyA'], ['ShiftLeft', 'KeyB'], ['ShiftLeft', 'Slash']])
  expect(strokesFor('de', 'zY@')).toEqual([['KeyY'], ['ShiftLeft', 'KeyZ'], ['AltRight', 'KeyQ']])
  expect(strokesFor('de', '^')).toEqual([['Backquote'], ['Space']])
  expect(missingIn('us', 'aäö漢ä')).toBe('äö漢')
  expect(strokesFor('us', 'aä')).toEqual([['KeyA']])
})
