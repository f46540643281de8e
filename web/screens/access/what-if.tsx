import { call } from '../../api/client.ts'
import { useReading } from '../../live/cache.ts'
import { Loaded } from '../../widgets/states.tsx'
import { count } from '../../words/format.ts'
import { t } from '../../words/words.ts'

const mostPaths = 8

/** Gains and losses of rights by a change, before it is made. */
export function WhatIf({ changes }: { changes: object[] }) {
  // The changes are those of the contract; each caller makes one of its kinds.
  const read = async () => (await call('permissions.whatIf', { changes } as never)).data
  const shown = useReading(`what-if ${JSON.stringify(changes)}`, '/api/permissions/what-if', read)
  return (
    <details open>
      <summary>{t('whatIf')}</summary>
      <Loaded of={shown} rows={2}>
        {({ data, users_changed }) => (
          <>
            <p class="dim">{t('usersChanged', { count: count(users_changed) })}</p>
            <ul>
              {data.slice(0, 50).map(({ user, gains, loses, paths }, index) => (
                <li key={index}>
                  <b>{user}</b> {gains.length > 0 && t('gains', { rights: gains.join(', ') })}{' '}
                  {loses.length > 0 && t('loses', { rights: loses.join(', ') })} {t('on')}{' '}
                  <code>{paths.slice(0, mostPaths).join(', ')}</code>
                  {paths.length > mostPaths && ' …'}
                </li>
              ))}
            </ul>
          </>
        )}
      </Loaded>
    </details>
  )
}
