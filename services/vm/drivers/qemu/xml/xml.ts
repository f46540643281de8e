import { XMLParser } from 'fast-xml-parser'

/** An element of an XML document, in document order. Comments are dropped: libvirt keeps none. */
export type Element = { name: string; attributes: Record<string, string>; children: Node[] }
/** An element, or text. */
export type Node = Element | string

const attributesKey = ':@'
const parser = new XMLParser({
  preserveOrder: true,
  ignoreAttributes: false,
  attributeNamePrefix: '',
  parseTagValue: false,
  parseAttributeValue: false,
  trimValues: false,
  htmlEntities: true,
  ignoreDeclaration: true,
  ignorePiTags: true,
})

type Raw = Record<string, unknown>

function nodeOf(raw: Raw): Node {
  const name = Object.keys(raw).find((key) => key !== attributesKey)!
  if (name === '#text') return String(raw[name])
  // With `preserveOrder` the parser returns children as a list, and attributes as strings.
  const children = (raw[name] as Raw[]).map(nodeOf)
  return { name, attributes: { ...(raw[attributesKey] as Record<string, string>) }, children }
}

/** The document's element. */
export function parseXml(xml: string): Element {
  const root = (parser.parse(xml) as Raw[]).map(nodeOf).find((node) => typeof node !== 'string')
  if (!root) throw new Error('An XML document without an element')
  return root
}

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', '\r': '&#13;' }
const inText = (text: string) => text.replaceAll(/[&<>\r]/g, (found) => entities[found]!)
// Parsers turn literal line ends and tabs in attributes into blanks.
const inAttribute = (text: string) =>
  text.replaceAll(/[&<>"\r\n\t]/g, (found) => entities[found] ?? `&#${found.codePointAt(0)};`)

export function writeXml(node: Node): string {
  if (typeof node === 'string') return inText(node)
  const { name, attributes, children } = node
  const words = [name, ...Object.entries(attributes).map(([key, value]) => `${key}="${inAttribute(value)}"`)].join(' ')
  return children.length === 0 ? `<${words}/>` : `<${words}>${children.map(writeXml).join('')}</${name}>`
}

const isElement = (node: Node): node is Element => typeof node !== 'string'

export const elements = (of: Element | undefined, name?: string): Element[] =>
  of?.children.filter(isElement).filter((child) => name === undefined || child.name === name) ?? []

/** The first element at a path of names. */
export const at = (of: Element | undefined, ...path: string[]): Element | undefined =>
  path.reduce<Element | undefined>((found, name) => elements(found, name)[0], of)

export const textOf = (of: Element | undefined): string =>
  of?.children
    .filter((child) => !isElement(child))
    .join('')
    .trim() ?? ''

export const attribute = (of: Element | undefined, name: string): string | undefined => of?.attributes[name]

/** Removes all elements of these names. */
export function remove(from: Element, ...names: string[]): void {
  from.children = from.children.filter((child) => !isElement(child) || !names.includes(child.name))
}

/** Replaces the first element of the same name, or appends. */
export function put(into: Element, element: Element): void {
  const place = into.children.findIndex((child) => isElement(child) && child.name === element.name)
  if (place >= 0) into.children[place] = element
  else into.children.push(element)
}

/** Copies attributes of another element, removing those that it lacks. */
export function takeAttributes(into: Element, from: Element | undefined, ...names: string[]): void {
  for (const name of names) {
    const value = attribute(from, name)
    if (value === undefined) delete into.attributes[name]
    else into.attributes[name] = value
  }
}

/** Copies a child of another element, removing it when that lacks it. */
export function takeChild(into: Element, from: Element | undefined, name: string): void {
  const child = at(from, name)
  if (child) put(into, child)
  else remove(into, name)
}

/** The child of this name, created when missing. */
export function childOf(of: Element, name: string): Element {
  const there = at(of, name)
  if (there) return there
  const made = { name, attributes: {}, children: [] }
  of.children.push(made)
  return made
}
