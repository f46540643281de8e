import { driverOf } from './drivers/drivers.ts'
import { type VmRecord, vmRecords } from './model.ts'

/** Defines the guest anew when its record has changed since, or its host has lost it. */
export async function ensureDefined(vm: VmRecord): Promise<void> {
  const driver = driverOf(vm)
  if (vm.defined && (await driver.isDefined(vm))) return
  await driver.define(vm)
  await vmRecords.updateWhere({ _id: vm.id, version: vm.version }, { set: { defined: true } })
}
