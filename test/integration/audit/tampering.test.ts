import { test } from 'vitest'
import { tampering } from '../../unit/audit/tampering-property.ts'

test.for(Object.entries(tampering))('%s, at 300 places', ([, isFound]) => isFound(300))
