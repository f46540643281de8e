import { signal } from '@preact/signals'
import { en, type Word } from './en.ts'

export type { Word } from './en.ts'

export const languages = ['en', 'de'] as const
export type Language = (typeof languages)[number]

const chosen = (): Language => {
  const stored = localStorage.getItem('horcrux.language') ?? navigator.language.slice(0, 2)
  return languages.find((each) => each === stored) ?? 'en'
}
export const language = signal<Language>(chosen())
const dictionary = signal<Partial<Record<Word, string>>>(en)
/** English words that came with screens. */
const late: Partial<Record<Word, string>> = {}

/** Adds English words that only some screens show, so that the first load stays small. German is loaded as a whole. */
export function addWords(words: Partial<Record<Word, string>>): void {
  Object.assign(late, words)
}

const textOf = (word: Word): string => dictionary.value[word] ?? late[word] ?? word

/** Loads the dictionary of the language and shows the page in it. */
export async function loadLanguage(next: Language = language.peek()): Promise<void> {
  dictionary.value = next === 'de' ? (await import('./de.ts')).de : en
  language.value = next
  document.documentElement.lang = next
}

export function chooseLanguage(next: Language): void {
  localStorage.setItem('horcrux.language', next)
  void loadLanguage(next)
}

/** The text of a word, with `{name}` filled in. */
export function t(word: Word, values: Record<string, string | number> = {}): string {
  return textOf(word).replace(/\{(\w+)\}/g, (_, key: string) => String(values[key] ?? ''))
}

/** The text of a word that the server sends, such as a status; unknown ones are shown as they are. */
export function told(prefix: string, value: string): string {
  const word = `${prefix}.${value}`
  return word in en ? t(word as Word) : value.replaceAll('_', ' ')
}
