import { oneOf } from '#shared/contracts/common.ts'
export const VmStatus = oneOf('running', 'stopped', 'paused', 'unknown')
