import { cloudinit } from '#shared/contracts/vm/cloudinit.ts'
import type { Violation } from '#shared/errors.ts'
import { requireVersion } from '#shared/db/if-match.ts'
import { operation } from '#shared/operation/kinds.ts'
import { seal, unseal } from '#shared/config/secrets.ts'
import { implement } from '#shared/service/implement.ts'
import { driverOf } from '../drivers/drivers.ts'
import { waiting } from '../hardware/hardware.ts'
import { apiPathOf, viewOf, vmRecords } from '../model.ts'
import { throwAll } from '#shared/service/violations.ts'
import { bootIdOf } from '../state/boot-id.ts'
import { requireNotSaved } from '../state/saved.ts'
import { readHostChanges } from '../state/sizes.ts'
import { settleAtEnd } from '../state/status.ts'
import { requireNoTemplate } from '../lifecycle/template-checks.ts'
import { checkEthernets } from './check.ts'
import { documentsOf } from './documents.ts'
import { hostnameOf } from './hostname.ts'
import { dropSeed, keepSettings, kept } from './model.ts'
import { hashOf, maxPasswordBytes } from './password.ts'
import { createSeed } from './seed.ts'

const purpose = 'cloudinit'

/**
 * Writes the seed into record and definition. A guest that runs gets the medium at once where it has the drive, else the
 * drive at its next start.
 */
async function putIn(id: string, seed: string | null): Promise<void> {
  const vm = await vmRecords.change(id, () => ({ set: { seed, defined: false } }))
  const driver = driverOf(vm)
  await driver.define(vm)
  const isOff = vm.status === 'stopped'
  const hasDrive = isOff || (await driver.media?.change(vm, 'seed', seed)) === true
  const boot_id = isOff ? vm.boot_id : await bootIdOf(vm)
  const waits = hasDrive || seed === null ? [] : [{ field: 'seed', current: null, next: seed }]
  await vmRecords.change(id, ({ pending }) => {
    const others = pending.filter(({ field }) => field !== 'seed')
    return { set: { defined: true, boot_id, ...waiting([...others, ...waits]) } }
  })
}

/** `If-Match` names a version of the seed, not of the VM; a guest without a seed has version 0. */
async function requireSeedVersion(id: string): Promise<void> {
  if (await kept.get(id)) await kept.requireForChange(id)
  else requireVersion(`Cloud-init seed of virtual machine '${id}'`, 0)
}

export const cloudinitService = implement(cloudinit, {
  get: ({ id }) => kept.require(id),

  set: operation({
    accept: async ({ id, user, ...settings }, { hold }) => {
      await hold(apiPathOf(id))
      const vm = await vmRecords.require(id)
      await requireSeedVersion(id)
      requireNoTemplate(vm, 'change')
      await requireNotSaved(vm, 'give a seed to')
      await readHostChanges(id)
      const violations: Violation[] = settings.network ? checkEthernets(settings.network, vm.nics) : []
      hostnameOf(vm.name, settings.hostname, { field: 'hostname', violations })
      const { plain_password, ...named } = user ?? {}
      const bytes = Buffer.byteLength(plain_password ?? '')
      if (bytes > maxPasswordBytes)
        violations.push({
          field: 'user.plain_password',
          code: 'max_bytes',
          message: `must have at most ${maxPasswordBytes} bytes in UTF-8, not ${bytes}: guests read no more of a password`,
        })
      throwAll(violations)
      const sealed = plain_password === undefined ? null : seal(hashOf(plain_password), purpose)
      // A given user has its name, as the contract says.
      return { id, settings, user: user && { ...named, name: user.name }, sealed }
    },
    run: async (op, { id, settings, user, sealed }) => {
      await op.commit()
      const made = await op.step('creating_cloud_init', async () => {
        const vm = await vmRecords.require(id)
        const hash = sealed === null ? null : unseal(sealed, purpose)
        return createSeed(vm, documentsOf(vm, { ...settings, ...(user && { user }) }, hash))
      })
      // Before the seed is in the drive, so that the record has all that a guest can have read.
      await op.step('recording', () =>
        keepSettings(id, { ...settings, ...(user && { user: { ...user, has_password: sealed !== null } }) }),
      )
      await op.step('attaching', () => putIn(id, made))
      return viewOf(await settleAtEnd(id))
    },
  }),

  remove: operation({
    accept: async ({ id }, { hold }) => {
      await hold(apiPathOf(id))
      const vm = await vmRecords.require(id)
      await requireSeedVersion(id)
      // A template must stay unknown to its host: a change of its drive would define it.
      requireNoTemplate(vm, 'change')
      await requireNotSaved(vm, 'take the seed from')
      await readHostChanges(id)
      if (vm.seed === null) await kept.require(id)
      return { id }
    },
    run: async (op, { id }) => {
      await op.commit()
      await op.step('ejecting', () => putIn(id, null))
      await op.step('removing seed', async () => dropSeed(await vmRecords.require(id)))
      return viewOf(await settleAtEnd(id))
    },
  }),
})
