import { appliances } from '#shared/contracts/storage/appliances.ts'
import { invalid } from '#shared/errors.ts'
import { implement } from '#shared/service/implement.ts'
import { readOvf } from '../images/ovf/read-ovf.ts'
import { asViolation } from '../uploads/complete.ts'
import { removeUpload, uploadRecords } from '../uploads/model.ts'
import { check, release, uploadsOf } from './check.ts'
import { descriptorOf, openAppliance } from './open.ts'

const readingMs = 20_000

/** @throws ValidationError for a descriptor that cannot be read */
function applianceIn(text: string) {
  try {
    return readOvf(text)
  } catch (error) {
    // The parser's own errors as well: the text is the caller's.
    throw invalid('upload', `the descriptor cannot be read: ${(error as Error).message.slice(0, 500)}`, 'descriptor')
  }
}

export const applianceService = implement(appliances, {
  read: async (source) => {
    const opened = await openAppliance(source)
    const text = await asViolation(opened.main.path, descriptorOf(opened, AbortSignal.timeout(readingMs)))
    return { node: opened.node, uploads: uploadsOf(source), appliance: applianceIn(text) }
  },
  check,
  release,
  discard: async (source) => {
    for (const id of uploadsOf(source)) {
      const record = await uploadRecords.get(id)
      if (record) await removeUpload(record)
    }
    return null
  },
})
