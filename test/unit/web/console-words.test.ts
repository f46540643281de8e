import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { dictionaries } from '../../../web/console/words.js'

const { en, de }: Record<'en' | 'de', Record<string, string>> = dictionaries
const folder = resolve(import.meta.dirname, '../../../web/console')
const texts = readdirSync(folder)
  .filter((name) => /\.(js|html)$/.test(name))
  .map((name) => readFileSync(join(folder, name), 'utf8'))
  .join('\n')
const used = [
  ...texts.matchAll(/data-(?:word|title|label)="(\w+)"/g),
  ...texts.matchAll(/\bt\('(\w+)'/g),
  ...texts.matchAll(/\d{4}: '(\w+)'/g),
].map(([, word]) => word!)

test('the console has every word in both languages, with the same values in it', () => {
  const placesIn = (text: string) => [...text.matchAll(/\{\w+\}/g)].map(String).toSorted()
  expect(Object.keys(de)).toEqual(Object.keys(en))
  for (const [word, text] of Object.entries(en)) expect(placesIn(de[word]!), word).toEqual(placesIn(text))
})

test('every word that the console names is there, and no other', () => {
  const states = ['connecting', 'connected', 'closed', 'lost']
  expect(used.filter((word) => !(word in en))).toEqual([])
  expect(Object.keys(en).filter((word) => ![...used, ...states].includes(word))).toEqual([])
})
