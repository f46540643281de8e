import type { Stack, StackPlan } from '#shared/contracts/container/stacks.ts'
import { ActionForm, type Plan } from '../../forms/action-form.tsx'
import type { Field } from '../../forms/fields.ts'
import { useQuery } from '../../live/cache.ts'
import { Problem, Skeleton } from '../../widgets/states.tsx'
import { count } from '../../words/format.ts'
import { t, told } from '../../words/words.ts'

export const composeFile: Field = {
  name: 'compose_file',
  label: 'f.composeFile',
  kind: 'area',
  rows: 16,
  hint: 'hint.composeFile',
  isRequired: true,
}

type Line = { key: string; name: string; action: string; more?: string }

function linesOf({ services, volumes, networks }: StackPlan): Line[] {
  const owned = (kind: 'volume' | 'network', all: StackPlan['volumes']) =>
    all.map(({ name, action }) => ({ key: `${kind} ${name}`, name: `${told('kind', kind)} ${name}`, action }))
  const ofServices = services.map(({ name, action, containers, scale, reason }) => ({
    key: `service ${name}`,
    name,
    action,
    more: `${count(containers)} → ${count(scale)}: ${reason}`,
  }))
  return [...ofServices, ...owned('volume', volumes), ...owned('network', networks)]
}

/** The plan of a change of a stack: each service, volume and network with its fate. */
export function showStackPlan(plan: Plan) {
  // The plans of all actions on stacks are of this shape.
  const lines = linesOf(plan as StackPlan)
  return (
    <section class="note" role="status" aria-label={t('plan')}>
      <h3>{t('plan')}</h3>
      {lines.length === 0 && <p>{t('nothingChanges')}</p>}
      <ul>
        {lines.map(({ key, name, action, more }) => (
          <li key={key}>
            <b>{told('change', action)}</b> {name}
            {more && <small> ({more})</small>}
          </li>
        ))}
      </ul>
    </section>
  )
}

/** The Compose file of a stack, as it was given. */
export function StackFile({ id }: Pick<Stack, 'id'>) {
  const { data, error, retry } = useQuery('stacks.config', { id })
  if (error) return <Problem error={error} onRetry={retry} />
  return data ? <pre>{data.compose_file}</pre> : <Skeleton />
}

/** The form that brings a stack to another file; it begins with the present one. */
export function ChangeStack({ id, onClose }: Pick<Stack, 'id'> & { onClose: () => void }) {
  const { data, error, retry } = useQuery('stacks.config', { id })
  if (error) return <Problem error={error} onRetry={retry} />
  if (!data) return <Skeleton />
  return (
    <ActionForm
      action="stacks.update"
      params={{ id }}
      fields={[composeFile]}
      initial={data}
      submit="verb.change"
      showPlan={showStackPlan}
      onDone={onClose}
      onCancel={onClose}
    />
  )
}
