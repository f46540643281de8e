import type { MovedDisk } from '../../relocation.ts'
import { markOfSource, sourceElement } from '../xml/disk-source.ts'
import { targetOf } from '../xml/parse-domain-xml.ts'
import { at, attribute, type Element, elements, type Node, parseXml, put, remove, writeXml } from '../xml/xml.ts'

type Paths = readonly { from: string; to: string }[]

/**
 * A definition as the target of a move has it: disks by their sources there, and files under their paths there.
 * libvirt refuses the move when anything is different that the guest can see.
 */
export function movedDefinition(xml: string, disks: MovedDisk[], files: Paths): string {
  const domain = parseXml(xml)
  const others = files.filter(({ from, to }) => from !== to)
  replacePaths(domain, new Map(others.map(({ from, to }) => [from, to])))
  for (const disk of elements(at(domain, 'devices'), 'disk')) {
    const wanted = disks.find(({ id }) => id === targetOf(disk))
    if (wanted && attribute(disk, 'device') !== 'cdrom') placeDisk(disk, wanted)
  }
  markDisks(at(domain, 'metadata'), disks)
  return writeXml(domain)
}

function placeDisk(disk: Element, { source, isCopied }: MovedDisk): void {
  disk.attributes['type'] = source.type
  const element = sourceElement(source)
  put(disk, element)
  // The copy has no backing files; those of a shared disk are found in the image.
  if (isCopied) remove(disk, 'backingStore', 'mirror')
}

/** Our mark names each disk by a hash of its source. */
function markDisks(metadata: Element | undefined, disks: MovedDisk[]): void {
  for (const mark of elements(metadata))
    for (const each of elements(mark)) {
      const disk = disks.find(({ id }) => id === attribute(each, 'place'))
      if (disk && attribute(each, 'source') !== undefined) each.attributes['source'] = markOfSource(disk.source)
    }
}

function replacePaths(element: Element, paths: ReadonlyMap<string, string>): void {
  for (const [name, value] of Object.entries(element.attributes)) element.attributes[name] = paths.get(value) ?? value
  element.children = element.children.map((child): Node => {
    if (typeof child === 'string') return paths.get(child.trim()) ?? child
    replacePaths(child, paths)
    return child
  })
}
