import { test } from 'vitest'
import { tampering } from '../../unit/audit/tampering-property.ts'

test.for(Object.entries(tampering))('%s, at 300 places', { timeout: 120_000 }, ([, isFound]) => isFound(300))
