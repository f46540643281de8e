import { type Static, Type } from 'typebox'
import { Id, nullable, strict, Time } from '#shared/contracts/common.ts'

/** The result of a check of a backup. Its age is that of `at`. */
export const Proof = strict({
  at: Time,
  ok: Type.Boolean(),
  error: Type.Union([Type.String(), Type.Null()], {
    description: 'The damage, or what was waited for in vain; null: none',
  }),
  seconds: Type.Optional(
    Type.Number({ description: 'Of a boot: the time from the start of the guest to the verdict' }),
  ),
  detail: Type.Optional(Type.String({ description: 'Of a boot: the evidence' })),
})
export type Proof = Static<typeof Proof>

const Seconds = Type.Optional(
  Type.Integer({ minimum: 1, maximum: 3600, description: 'Time that the guest has; 300 if not given, 60 for running' }),
)

/** The sign by which a guest counts as booted. */
export const BootCheck = Type.Union([
  strict({
    kind: Type.Literal('serial'),
    text: Type.String({ minLength: 1, maxLength: 200, description: 'It writes this on its serial console' }),
    seconds: Seconds,
  }),
  strict({
    kind: Type.Literal('agent', { description: 'The agent in the guest answers' }),
    seconds: Seconds,
  }),
  strict({
    kind: Type.Literal('running', { description: 'It still runs when the time is over: the weakest sign' }),
    seconds: Seconds,
  }),
])
export type BootCheck = Static<typeof BootCheck>

const Hours = Type.Integer({ minimum: 1, maximum: 87_600 })
export const DataDays = Type.Integer({ minimum: 1, maximum: 365 })

/** The verifications that a job has of its backups. */
export const JobProof = strict({
  data_days: Type.Union([DataDays, Type.Null()], {
    description:
      'A share of the backup store is read each day, so that everything is read once in so many days; null: never',
  }),
  boot: Type.Union(
    [
      strict({
        every_hours: Type.Integer({
          ...Hours,
          description: 'The newest backup of each virtual machine is booted when the last boot is older',
        }),
        check: BootCheck,
        node: Type.Optional(
          Type.String({ ...Id, description: 'Node of the guests; that of each backup if not given' }),
        ),
        pool: Type.Optional(
          Type.String({ ...Id, description: 'Storage pool of their disks; those that they were in if not given' }),
        ),
      }),
      Type.Null(),
    ],
    { description: 'null: never' },
  ),
  max_data_age_hours: nullable(Hours),
  max_boot_age_hours: Type.Union([Hours, Type.Null()], {
    description:
      'An older newest verification of a virtual machine, or one that has failed, raises the alert backup_unproven; null: never',
  }),
})
export type JobProof = Static<typeof JobProof>

/** A virtual machine or container of a job without a verification that is young enough. */
export const Unproven = strict({
  job_id: Id,
  job_name: Type.String(),
  vm_id: Type.Union([Id, Type.Null()], { description: 'null of a container' }),
  container_id: Type.Union([Id, Type.Null()], { description: 'null of a virtual machine' }),
  level: Type.Enum(['data', 'boot']),
  newest: Type.Union([Time, Type.Null()], { description: 'The time of its newest good verification' }),
  reason: Type.String(),
})
export type Unproven = Static<typeof Unproven>
