import { dirname } from 'node:path'
import { listDomains } from '#shared/nodes/libvirt/client/domain.ts'
import { libvirtOf } from '#shared/nodes/libvirt/engine.ts'
import { markedFilesIn } from '../marked-files.ts'
import type { Leftovers, MarkedGuest } from '../parts.ts'
import { inactiveXml } from './definition.ts'
import { filesOf, shelfOf } from './files.ts'
import { isOff, unlessMissing } from './state.ts'
import { markOf } from './xml/parse-domain-xml.ts'
import { parseXml } from './xml/xml.ts'

export const leftovers: Leftovers = {
  guests: async (reached, known) => {
    const libvirt = libvirtOf(reached)
    const found: MarkedGuest[] = []
    for (const { uuid, name, state } of await listDomains(libvirt)) {
      if (known.has(uuid)) continue
      const xml = await unlessMissing(() => inactiveXml(libvirt, uuid), null)
      const mark = xml === null ? null : markOf(parseXml(xml))
      if (mark?.id) found.push({ handle: uuid, name, vm: mark.id, operation: mark.madeBy, isOff: isOff(state) })
    }
    return found
  },
  files: async (reached) => {
    const paths = [filesOf(reached, 'any').variables, shelfOf(reached, 'any')]
    const all = paths.map((path) => markedFilesIn(reached.host, dirname(path), path.slice(path.lastIndexOf('.'))))
    return (await Promise.all(all)).flat()
  },
}
