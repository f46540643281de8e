import { expect, test } from 'vitest'
import '../../../bin/services.ts'
import { contracts } from '#shared/contracts/index.ts'
import { resourcePaths } from '#shared/db/resource-changes.ts'

/** Routes of single things whose changes are told otherwise, or that are no records. */
const otherwise: Record<string, string> = {
  '/api/operations/{}': 'OperationUpdated',
  '/api/clone-jobs/{}': 'a view of an operation: OperationUpdated',
  '/api/templates/{}': 'a view of a VM: its changes are those of /api/vms/{}',
  '/api/monitoring/nodes/{}': 'NodeMetrics',
  '/api/monitoring/vms/{}': 'VmMetrics',
  '/api/monitoring/containers/{}': 'ContainerMetrics',
  '/api/monitoring/history/{}': 'numbers',
  '/api/auth/device/{}': 'the device asks for its state, for ten minutes',
  '/api/console/ticket/{}': 'only its owner uses it, once',
  '/api/console/{}/recordings/{}': 'written continuously by a session of a console',
  '/api/storage/pools/{}/uploads/{}': 'the client that sends it knows its progress',
  '/api/backup-stores/{}': 'no record: the storage is asked, and the operations that change a store are told',
  '/api/backups/{}/files/{}': 'the content of a backup does not change',
  '/api/images/{}': 'no record: engines are asked, and the operations that change images are told',
}

const shapeOf = (path: string) => path.replaceAll(/\{\w+\}/g, '{}')
const single = contracts.flatMap(({ actions }) =>
  Object.values(actions).flatMap(({ rest = '' }) => {
    const [, path] = /^GET (\/.*\{\w+\})$/.exec(rest) ?? []
    return path === undefined ? [] : [shapeOf(`/api${path}`)]
  }),
)

test('changes of each resource with a GET of its own are told', () => {
  const told = resourcePaths().map(shapeOf)
  expect(single.filter((path) => !told.includes(path) && !(path in otherwise)).toSorted()).toEqual([])
  expect(Object.keys(otherwise).filter((path) => !single.includes(path))).toEqual([])
})
