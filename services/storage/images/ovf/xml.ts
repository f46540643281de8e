import { XMLParser } from 'fast-xml-parser'

/** An element of a descriptor. Names have no namespace prefix: producers choose different ones. */
export type Element = { name: string; attributes: ReadonlyMap<string, string>; text: string; children: Element[] }

const attributesKey = ':@'
const parser = new XMLParser({
  preserveOrder: true,
  ignoreAttributes: false,
  attributeNamePrefix: '',
  removeNSPrefix: true,
  parseTagValue: false,
  parseAttributeValue: false,
  htmlEntities: true,
  ignoreDeclaration: true,
  ignorePiTags: true,
})

/** Deeper than any producer nests. */
const mostLevels = 32
type Raw = Record<string, unknown>

function elementOf(raw: Raw, level: number): Element | null {
  const name = Object.keys(raw).find((key) => key !== attributesKey)
  if (name === undefined || name === '#text') return null
  if (level > mostLevels) throw new Error(`elements are nested deeper than ${mostLevels}`)
  // With `preserveOrder` the parser returns children as a list, and an attribute as a string, or a list when it is repeated.
  const content = raw[name] as Raw[]
  const given = Object.entries((raw[attributesKey] ?? {}) as Record<string, string | string[]>)
  return {
    name,
    attributes: new Map(given.map(([key, value]) => [key, Array.isArray(value) ? (value[0] ?? '') : value])),
    text: content
      .flatMap((each) => (Object.hasOwn(each, '#text') ? [String(each['#text'])] : []))
      .join('')
      .trim(),
    children: content.map((each) => elementOf(each, level + 1)).filter((each) => each !== null),
  }
}

/**
 * Parses a descriptor that is not ours: without a document type, so that no entity is expanded and no file is read.
 * @throws Error for text that is no such document
 */
export function parseDescriptor(text: string): Element {
  if (/<!DOCTYPE|<!ENTITY/i.test(text)) throw new Error('a document type is not read')
  const root = (parser.parse(text) as Raw[]).map((raw) => elementOf(raw, 1)).find((each) => each !== null)
  if (root?.name !== 'Envelope') throw new Error(`it begins with ${root?.name ?? 'no element'}, not Envelope`)
  return root
}

export const childrenOf = (of: Element | undefined, ...names: string[]): Element[] =>
  of?.children.filter(({ name }) => names.includes(name)) ?? []

/** The first element at a path of names. */
export const at = (of: Element | undefined, ...path: string[]): Element | undefined =>
  path.reduce<Element | undefined>((found, name) => childrenOf(found, name)[0], of)

/** The text of a child; undefined for none, and for an empty one. */
export const textOf = (of: Element | undefined, name: string): string | undefined => at(of, name)?.text || undefined

export const attribute = (of: Element | undefined, name: string): string | undefined => of?.attributes.get(name)

/** All elements of a name, at any depth. */
export const within = (of: Element, name: string): Element[] =>
  of.children.flatMap((child) => [...(child.name === name ? [child] : []), ...within(child, name)])

/** The kind of a section: OVF names it by its element; oVirt and virt-v2v by `xsi:type`, as a draft of OVF did. */
export const kindOf = (of: Element): string =>
  of.name === 'Section' || of.name === 'Content'
    ? (attribute(of, 'type') ?? of.name).replace(/^.*:/, '').replace(/_Type$/, '')
    : of.name

/** The sections of a kind in an envelope or a virtual system. */
export const sections = (of: Element, kind: string): Element[] => of.children.filter((each) => kindOf(each) === kind)
