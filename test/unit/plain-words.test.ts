import { readdirSync, readFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { expect, test } from 'vitest'

const root = resolve(import.meta.dirname, '../..')

/** The rules of CONTRIBUTING.md, "Plain words", that a machine can hold. */
const rules: { rule: string; pattern: RegExp }[] = [
  {
    rule: 'a sentence begins with a verb or a noun',
    pattern: /^(What|Who|Whose|Whoever|Whatever|Whether|How|Where|So)\b/,
  },
  { rule: 'no clause has a free what, who or whether as its subject', pattern: /[;:(] ?(what|who|whose|whether)\b/ },
  { rule: 'a noun of the field in place of whoever and whatever', pattern: /\b(whoever|whatever|whichever)\b/i },
  { rule: 'credential, not proof', pattern: /\bproofs?\b/i },
]

type Sentence = { place: string; text: string }

function filesIn(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.(tsx?|js|sh)$/.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((path) => !path.includes('node_modules/'))
    .toSorted()
}

/** The comments of a source text: doc comments whole, lines of `//` or `#` that follow each other as one. */
export function commentsOf(text: string): { line: number; comment: string }[] {
  const found = text.matchAll(/(?<![^\s({|,[])\/\*\*([\s\S]*?)\*\/|((?:^[ \t]*(?:\/\/|#) .*\n?)+)|[ \t]\/\/ (.*)$/gm)
  return [...found].map((match) => ({
    line: text.slice(0, match.index).split('\n').length,
    comment: (match[1] ?? match[2] ?? match[3] ?? '').replaceAll(/^[ \t]*(\*|\/\/|#) ?/gm, ''),
  }))
}

/** Tags such as `@param name` begin a sentence; code in backticks counts as one noun. */
export function sentencesOf(comment: string): string[] {
  return comment
    .replaceAll(/`[^`]*`/g, 'code')
    .replaceAll(/@(param|throws|returns)( \w+)?/g, '. $1 $2 ')
    .replaceAll(/\s+/g, ' ')
    .split(/(?<=[.!?])\s+/)
    .map((sentence) => sentence.replace(/^(param|throws|returns) \w* ?/, '').trim())
    .filter((sentence) => sentence.length > 1)
}

const product = ['shared', 'services', 'bin', 'cli', 'tools', 'bench', 'web', 'packages/embedded-store/src'].flatMap(
  filesIn,
)

test('the comments of the product are written in plain words', () => {
  const sentences = product.flatMap((path) =>
    commentsOf(readFileSync(join(root, path), 'utf8')).flatMap(({ line, comment }) =>
      sentencesOf(comment).map((text): Sentence => ({ place: `${path}:${line}`, text })),
    ),
  )
  const broken = sentences.flatMap(({ place, text }) =>
    rules.filter(({ pattern }) => pattern.test(text)).map(({ rule }) => `${place} ${text} (${rule})`),
  )
  expect(broken).toEqual([])
})

/** The prose of a Markdown page: without code, headings, HTML and the marks of lists and tables. */
export function proseOf(page: string): string[] {
  return page
    .replaceAll(/```[\s\S]*?```|<[^>]*>|^#.*$/gm, '')
    .split(/\n\s*\n|\n(?=\s*(?:[-|]|\d+\.) ?)|\|/)
    .map((part) => part.replaceAll(/^\s*(?:[-|]|\d+\.) /g, '').replaceAll('**', ''))
    .flatMap(sentencesOf)
}

test('pages are written in plain words', () => {
  // The examples of CONTRIBUTING.md are those to avoid.
  const pages = ['.', 'docs', 'docs/adr', 'shared', 'services', 'tools', 'test', 'packages']
    .flatMap((folder) => {
      const isDeep = !['.', 'docs', 'docs/adr'].includes(folder)
      return readdirSync(join(root, folder), { recursive: isDeep, encoding: 'utf8' }).map((name) => join(folder, name))
    })
    .filter((path) => path.endsWith('.md') && !path.includes('node_modules') && path !== 'CONTRIBUTING.md')
  const broken = pages.flatMap((path) =>
    proseOf(readFileSync(join(root, path), 'utf8')).flatMap((text) =>
      rules.filter(({ pattern }) => pattern.test(text)).map(({ rule }) => `${path} ${text} (${rule})`),
    ),
  )
  expect(broken).toEqual([])
})
