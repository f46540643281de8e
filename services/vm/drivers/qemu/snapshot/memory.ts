import { NotFoundError } from '#shared/errors.ts'
import { domainState, domainXml } from '#shared/nodes/libvirt/client/domain.ts'
import { libvirtOf } from '#shared/nodes/libvirt/engine.ts'
import { restoreSaved, savedXml, saveMemory as saveNow } from '#shared/nodes/libvirt/client/snapshot.ts'
import { reach } from '#shared/nodes/nodes.ts'
import type { DiskImage, Snapshots } from '../../parts.ts'
import { isOff, unlessMissing } from '../state.ts'
import { sourceElement } from '../xml/disk-source.ts'
import { targetOf } from '../xml/parse-domain-xml.ts'
import { at, childOf, type Element, elements, parseXml, put, remove, writeXml } from '../xml/xml.ts'
import { filesUnder } from './kept-state.ts'
import { targetsIn } from './switch-disks.ts'

/** The XML of a snapshot of the memory alone ("Snapshot XML format"). */
const memorySnapshotOf = (file: string, targets: string[]): string =>
  writeXml({
    name: 'domainsnapshot',
    attributes: {},
    children: [
      { name: 'memory', attributes: { snapshot: 'external', file }, children: [] },
      {
        name: 'disks',
        attributes: {},
        children: targets.map((name) => ({ name: 'disk', attributes: { name, snapshot: 'no' }, children: [] })),
      },
    ],
  })

export const saveMemory: Snapshots['saveMemory'] = async ({ node, handle: uuid }, key) => {
  const reached = await reach(node)
  const { host } = reached
  const libvirt = libvirtOf(reached)
  const { folder, memory } = filesUnder(reached, key)
  await host.mkdir(folder, { mode: 0o711 })
  // An earlier try may have been cut off.
  await host.remove(memory)
  await saveNow(libvirt, uuid, memorySnapshotOf(memory, targetsIn(parseXml(await domainXml(libvirt, uuid)))))
  return (await host.stat(memory))?.sizeBytes ?? 0
}

/** Gives the disks of a definition other images. */
function withDisks(domain: Element, disks: DiskImage[]): Element {
  for (const found of elements(at(domain, 'devices'), 'disk')) {
    const image = disks.find(({ disk }) => disk === targetOf(found))
    if (!image) continue
    // libvirt reads the layers below from the image.
    remove(found, 'source', 'backingStore')
    found.attributes['type'] = image.source.type
    put(found, sourceElement(image.source))
    childOf(found, 'driver').attributes['type'] = image.format
  }
  return domain
}

export const restoreMemory: Snapshots['restoreMemory'] = async ({ node, handle: uuid }, key, disks, how) => {
  const reached = await reach(node)
  const libvirt = libvirtOf(reached)
  const state = await unlessMissing(() => domainState(libvirt, uuid), null)
  if (state !== null && !isOff(state.state)) return
  const { memory } = filesUnder(reached, key)
  if (!(await reached.host.stat(memory))) throw new NotFoundError(`The memory ${memory} is not on its node`)
  const xml = writeXml(withDisks(parseXml(await savedXml(libvirt, memory)), disks))
  await restoreSaved(libvirt, memory, xml, how)
}
