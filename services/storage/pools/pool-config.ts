import { seal, unseal } from '#shared/config/secrets.ts'
import {
  type PoolConfig,
  poolKinds,
  type PoolSecrets,
  type PoolType,
  type ShownConfig,
} from '#shared/contracts/storage/pool-kinds.ts'
import type { PoolRecord } from '../models.ts'

const purpose = 'secrets of storage pools'

/** Divides the configuration of a storage pool into its public fields and its secrets, which are encrypted. */
export function stored(type: PoolType, config: PoolConfig): Pick<PoolRecord, 'config' | 'sealed'> {
  const names = Object.keys(poolKinds[type].secrets)
  const part = (isWanted: (name: string) => boolean) =>
    Object.fromEntries(Object.entries(config).filter(([name]) => isWanted(name)))
  // Without the secrets, these are the fields of `config` in the contract.
  const shown = part((name) => !names.includes(name)) as ShownConfig
  if (names.length === 0) return { config: shown }
  return { config: shown, sealed: seal(JSON.stringify(part((name) => names.includes(name))), purpose) }
}

/** The configuration of a stored storage pool with its secrets, for its driver. */
export function configOf({ config, sealed }: Pick<PoolRecord, 'config' | 'sealed'>): PoolConfig {
  const secrets = sealed === undefined ? {} : (JSON.parse(unseal(sealed, purpose)) as PoolSecrets)
  // `stored` has divided one configuration of the kind.
  return { ...config, ...secrets } as PoolConfig
}
