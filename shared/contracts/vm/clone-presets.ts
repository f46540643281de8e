import { type Static, Type } from 'typebox'
import { CommonNetwork, presetOptions } from '#shared/contracts/vm/clones.ts'
import { contract } from '#shared/contract/contract.ts'
import {
  ById,
  Done,
  Id,
  SearchQuery,
  Name,
  SearchPage,
  record,
  strict,
  Time,
  Version,
} from '#shared/contracts/common.ts'

const Description = Type.String({ maxLength: 1000, default: '' })
const options = { ...presetOptions, network_config: Type.Optional(strict(CommonNetwork)) }

export const ClonePreset = record('name mode pool cpus memory start id')({
  id: Id,
  name: Name,
  description: Description,
  ...options,
  created_at: Time,
  updated_at: Time,
  version: Version,
})
export type ClonePreset = Static<typeof ClonePreset>

const orNone = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) =>
  Type.Optional(Type.Union([schema, Type.Null()], { description: 'null: the preset says nothing of it' }))

export const clonePresets = contract('clone-presets', {
  list: {
    does: 'List the clone presets',
    rest: 'GET /clone-presets',
    can: 'signed-in',
    itemAccess: 'VmAudit on /api/clone-presets/{id}',
    params: SearchQuery(ClonePreset, ['name', 'mode', 'pool']),
    result: SearchPage(ClonePreset),
  },
  get: {
    does: 'Get a clone preset',
    rest: 'GET /clone-presets/{id}',
    can: 'VmAudit on /api/clone-presets/{id}',
    params: ById,
    result: ClonePreset,
  },
  create: {
    does: 'Keep a set of options for clones under a name',
    rest: 'POST /clone-presets',
    can: 'VmAllocate on /api/clone-presets/{id}',
    audit: 'config_changed',
    params: strict({ id: Type.Optional(Id), name: Name, description: Description, ...options }),
    result: ClonePreset,
    status: 201,
  },
  update: {
    does: 'Change a clone preset; clones that were made with it stay as they are',
    rest: 'PATCH /clone-presets/{id}',
    can: 'VmAllocate on /api/clone-presets/{id}',
    audit: 'config_changed',
    params: strict({
      id: Id,
      name: Type.Optional(Name),
      description: Type.Optional(Type.String({ maxLength: 1000 })),
      mode: orNone(options.mode),
      start: orNone(options.start),
      pool: orNone(options.pool),
      cpus: orNone(options.cpus),
      memory: orNone(options.memory),
      tags: orNone(options.tags),
      network_config: orNone(options.network_config),
    }),
    result: ClonePreset,
  },
  delete: {
    does: 'Delete a clone preset',
    rest: 'DELETE /clone-presets/{id}',
    can: 'VmAllocate on /api/clone-presets/{id}',
    audit: 'config_changed',
    params: ById,
    result: Done,
    status: 204,
  },
})
