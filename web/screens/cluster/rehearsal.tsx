import type { Node } from '#shared/contracts/cluster/nodes.ts'
import type { Rehearsal, RehearsalEvent, RehearsedVm } from '#shared/contracts/cluster/rehearsals.ts'
import { useState } from 'preact/hooks'
import { call } from '../../api/client.ts'
import { asRefusal, type Refusal } from '../../api/refusal.ts'
import { may } from '../../api/session.ts'
import { Button } from '../../widgets/button.tsx'
import { Card } from '../../widgets/layout.tsx'
import { Problem } from '../../widgets/states.tsx'
import { Status } from '../../widgets/status.tsx'
import { seconds } from '../../words/format.ts'
import { t, type Word } from '../../words/words.ts'
import { Conflicts, useNames } from './drain.tsx'

/** Questions of one node; the API takes several events. */
const questions: readonly (readonly [kind: 'node_fails' | 'node_cut' | 'storage_fails' | 'node_drains', word: Word])[] =
  [
    ['node_fails', 'whatIf.fails'],
    ['node_cut', 'whatIf.cut'],
    ['storage_fails', 'whatIf.storage'],
    ['node_drains', 'whatIf.drains'],
  ]

function eventOf(kind: (typeof questions)[number][0], node: string): RehearsalEvent {
  const at = { node, at_seconds: 0 }
  return kind === 'node_cut' ? { kind, ...at, storage: false } : { kind, ...at }
}

function Outcome({ vm, nameOf }: { vm: RehearsedVm; nameOf: (id: string) => string }) {
  const { id, outcome, from, to, down_seconds, reason, remedy } = vm
  return (
    <li>
      <Status value={outcome} /> <b>{nameOf(id)}</b> {nameOf(from)}
      {to !== null && to !== from && ` → ${nameOf(to)}`}
      {outcome === 'restarted' && `, ${t('downFor', { time: seconds(down_seconds) })}`}
      {reason !== null && <span class="dim"> {reason}</span>}
      {remedy !== null && <span> {remedy}</span>}
    </li>
  )
}

function Answer({ of: { vms, conflicts, broken } }: { of: Rehearsal }) {
  const nameOf = useNames()
  return (
    <div role="status">
      {vms.length === 0 && <p>{t('whatIfNothing')}</p>}
      <ul>
        {vms.map((vm) => (
          <Outcome key={vm.id} vm={vm} nameOf={nameOf} />
        ))}
      </ul>
      <Conflicts of={conflicts} />
      {broken.map(({ text }) => (
        <p key={text} class="note">
          {text}
        </p>
      ))}
    </div>
  )
}

/** Tells what would happen if a node failed, was cut off or drained; nothing is changed. */
export function WhatIf({ node }: { node: Node }) {
  const [answer, setAnswer] = useState<Rehearsal>()
  const [asked, setAsked] = useState<(typeof questions)[number]>()
  const [error, setError] = useState<Refusal>()
  if (!may('rehearsals.rehearse', {})) return null
  const ask = async (question: (typeof questions)[number]) => {
    setAsked(question)
    setAnswer(undefined)
    setError(undefined)
    try {
      const { data } = await call('rehearsals.rehearse', { events: [eventOf(question[0], node.id)] })
      setAnswer(data)
    } catch (thrown) {
      setError(asRefusal(thrown))
    }
  }
  const isBusy = asked !== undefined && answer === undefined && error === undefined
  return (
    <Card
      title={t('rehearsal')}
      actions={questions.map((question) => (
        <Button key={question[0]} onClick={() => ask(question)} isBusy={isBusy && asked === question}>
          {t(question[1])}
        </Button>
      ))}
    >
      {error && asked && <Problem error={error} onRetry={() => ask(asked)} />}
      {answer && asked && (
        <>
          <h3>{t(asked[1])}</h3>
          <Answer of={answer} />
        </>
      )}
    </Card>
  )
}
