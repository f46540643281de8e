import fc from 'fast-check'
import type { Rule, World, WorldNode, WorldVm } from '../../../services/cluster/placement/world.ts'

export const node = (id: string, given: Partial<WorldNode> = {}): WorldNode => ({
  id,
  unusable: null,
  memoryMib: 1000,
  vcpus: 16,
  availableMib: null,
  architecture: 'x86_64',
  accel: 'kvm',
  features: null,
  ...given,
})

export const vm = (id: string, on: string, given: Partial<WorldVm> = {}): WorldVm => ({
  id,
  node: on,
  memoryMib: 100,
  vcpus: 1,
  isRunning: true,
  architecture: 'x86_64',
  accel: 'kvm',
  pools: [],
  features: null,
  ...given,
})

export const world = (given: Partial<World> = {}): World => ({ nodes: [], vms: [], pools: [], rules: [], ...given })

const mib = fc.integer({ min: 1, max: 8 }).map((units) => units * 100)

/** Small worlds, tight enough that some have no solution. @param most at most so many VMs */
export const worlds = (most: number): fc.Arbitrary<World> =>
  fc.record({ nodes: fc.integer({ min: 2, max: 6 }), vms: fc.integer({ min: 1, max: most }) }).chain((count) => {
    const ids = Array.from({ length: count.nodes }, (_, index) => `n${index}`)
    const vmIds = Array.from({ length: count.vms }, (_, index) => `v${index}`)
    return fc.record({
      nodes: fc.tuple(
        ...ids.map((id) =>
          fc
            .record({ memoryMib: mib, vcpus: fc.integer({ min: 1, max: 8 }), isUsable: fc.integer({ max: 5, min: 0 }) })
            .map(({ isUsable, ...room }) => node(id, { ...room, unusable: isUsable === 0 ? 'it is off' : null })),
        ),
      ),
      vms: fc.tuple(
        ...vmIds.map((id) =>
          fc
            .record({
              node: fc.constantFrom(...ids),
              memoryMib: mib,
              vcpus: fc.integer({ min: 1, max: 3 }),
              isRunning: fc.integer({ min: 0, max: 4 }).map((drawn) => drawn > 0),
              pools: fc.subarray(['p0', 'p1'], { maxLength: 1 }),
              accel: fc.integer({ min: 0, max: 9 }).map((drawn) => (drawn === 0 ? 'tcg' : 'kvm')),
            })
            .map(({ node: on, ...given }) => vm(id, on, given)),
        ),
      ),
      pools: fc.tuple(
        ...['p0', 'p1'].map((id) =>
          fc
            .record({ nodes: fc.option(fc.subarray(ids, { minLength: 1 })), isActive: fc.constant(true) })
            .map((pool) => ({ id, ...pool })),
        ),
      ),
      rules: fc
        .array(
          fc.record({
            kind: fc.constantFrom<Rule['kind']>('apart', 'together'),
            vms: fc.subarray(vmIds, { minLength: Math.min(2, vmIds.length), maxLength: Math.min(3, vmIds.length) }),
          }),
          { maxLength: 2 },
        )
        .map((rules) => rules.map((rule, index) => ({ id: `r${index}`, ...rule }))),
    })
  })
