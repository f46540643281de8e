import { ConflictError } from '#shared/errors.ts'
import type { Merge } from './merge-devices.ts'
import { balloonOf, cpusOf, isSame, kibOf, memoryOf } from './parse-domain-xml.ts'
import { at, attribute, childOf, type Element, elements, remove, takeAttributes, takeChild, textOf } from './xml.ts'

/** The parts that a definition divides memory and processors into (NUMA cells), if it does. */
const cellsOf = (domain: Element) => elements(at(domain, 'cpu', 'numa'), 'cell')

/** @throws ConflictError for a definition with several cells: the share of each is for its owner to say */
function requireOneCell(cells: Element[], what: string): Element {
  const [cell, ...others] = cells
  if (cell && others.length === 0) return cell
  throw new ConflictError(
    `Its definition divides ${what} among ${cells.length} NUMA cells: change them with virsh edit, and the new sum is taken over`,
    { details: { numa_cells: cells.length } },
  )
}

/** KiB of memory modules (DIMMs), which libvirt counts as a part of `<memory>`. */
const modulesOf = (domain: Element) =>
  elements(at(domain, 'devices'), 'memory').reduce((sum, module) => {
    const size = at(module, 'target', 'size')
    return size ? sum + kibOf(size, textOf(size)) : sum
  }, 0)

/** libvirt takes the sum of the NUMA cells for the memory of a definition, and ignores `<memory>`. */
function resizeCells(there: Element, wanted: Element): void {
  const cells = cellsOf(there)
  if (cells.length === 0) return
  const cell = requireOneCell(cells, 'the memory')
  const rest = memoryOf(wanted) * 1024 - modulesOf(there)
  if (rest <= 0)
    throw new ConflictError(
      `Its memory modules alone have ${Math.floor(modulesOf(there) / 1024)} MiB: remove one first`,
    )
  cell.attributes['unit'] = 'KiB'
  cell.attributes['memory'] = String(rest)
}

export const memory: Merge = (there, wanted) => {
  if (isSame(there, wanted, memoryOf) && isSame(there, wanted, balloonOf)) return
  if (!isSame(there, wanted, memoryOf)) resizeCells(there, wanted)
  takeChild(there, wanted, 'memory')
  takeChild(there, wanted, 'currentMemory')
}

const mostOf = (domain: Element) => {
  const { cpus: now, max_cpus: most } = cpusOf(domain)
  return most ?? now
}

export const cpus: Merge = (there, wanted) => {
  if (isSame(there, wanted, cpusOf)) return
  const cells = cellsOf(there)
  if (cells.some((cell) => attribute(cell, 'cpus') !== undefined) && !isSame(there, wanted, mostOf))
    requireOneCell(cells, 'the processors').attributes['cpus'] = `0-${mostOf(wanted) - 1}`
  // libvirt's list of single processors is for the old number.
  remove(there, 'vcpus')
  const vcpu = childOf(there, 'vcpu')
  takeAttributes(vcpu, at(wanted, 'vcpu'), 'current')
  vcpu.children = [textOf(at(wanted, 'vcpu'))]
}
