import { readFileSync } from 'node:fs'

const file = new URL('common-passwords.txt', import.meta.url)

let words: Set<string> | undefined

/** The list has plain forms only; each stands for all its variants. */
function list() {
  return (words ??= new Set(
    readFileSync(file, 'utf8')
      .split(/\s+/)
      .filter((word) => word !== ''),
  ))
}

const disguises: Record<string, string> = {
  '@': 'a',
  '4': 'a',
  '3': 'e',
  '1': 'i',
  '!': 'i',
  '0': 'o',
  $: 's',
  '5': 's',
  '7': 't',
}

/**
 * Plain forms of a password: `P@ssw0rd2024!` → `password`. Lower case, without surrounding digits and signs, with
 * letters for look-alike characters.
 */
export function plainForms(password: string): string[] {
  const lower = password.toLowerCase().normalize('NFKC')
  const bare = lower.replaceAll(/^[^\p{L}]+|[^\p{L}]+$/gu, '')
  const undisguised = [...lower.replace(/[\d!?.#*_-]+$/, '')].map((char) => disguises[char] ?? char).join('')
  const all = [...lower].map((char) => disguises[char] ?? char).join('')
  return [...new Set([lower, bare, undisguised, all, undisguised.replaceAll(/[^\p{L}]/gu, '')])]
}

/** Checks that a password is a common one, a variant of one, or one written twice. */
export function isCommonPassword(password: string): boolean {
  return plainForms(password).some((form) => {
    const half = form.slice(0, form.length / 2)
    return list().has(form) || (form === half + half && list().has(half))
  })
}
