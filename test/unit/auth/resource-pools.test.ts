import fc from 'fast-check'
import { expect, test } from 'vitest'
import { grantsAt } from '../../../services/auth/grants/remove-grants.ts'
import { memberAt, memberPath } from '../../../services/auth/resource-pools/model.ts'

const member = fc.record({
  kind: fc.constantFrom('vm' as const, 'container' as const, 'storage' as const, 'network' as const),
  id: fc.stringMatching(/^[A-Za-z0-9_-]{1,40}$/),
})

test('a member is found again by the path of its resource, and by no other path', () => {
  fc.assert(
    fc.property(member, (one) => {
      expect(memberAt(memberPath(one))).toEqual(one)
      expect(memberAt(`${memberPath(one)}/snapshots`)).toBeNull()
    }),
  )
  for (const path of ['/api/vms', '/api/users/ann', '/api/storage/volumes/x', '/']) expect(memberAt(path)).toBeNull()
})

test('a deletion removes the grants on the resource and below it, not those of a resource with a longer name', () => {
  const [{ path: own }, { path: below }] = grantsAt('/api/vms/7').$or as [
    { path: string },
    { path: { $gte: string; $lt: string } },
  ]
  const isForgotten = (path: string) => path === own || (path >= below.$gte && path < below.$lt)
  expect(['/api/vms/7', '/api/vms/7/*', '/api/vms/7/**', '/api/vms/7/a/b'].filter(isForgotten)).toHaveLength(4)
  expect(
    ['/api/vms/70', '/api/vms/7-a', '/api/vms/7.a', '/api/vms/70/*', '/api/vms/*', '/'].filter(isForgotten),
  ).toEqual([])
})
