import { useEffect, useRef, useState } from 'preact/hooks'
import { call } from '../../api/client.ts'
import { asRefusal, type Refusal } from '../../api/refusal.ts'
import { Button } from '../../widgets/button.tsx'
import { Empty, Problem, Skeleton } from '../../widgets/states.tsx'
import { t } from '../../words/words.ts'

type Line = { time: string | null; stream: string; text: string; truncated: boolean }
const mostLines = 5000
const longestShown = 16_384

/** The log, followed with a cursor. Scrolling up stops the following of the view, not of the log; memory is bounded. */
export function Logs({ id }: { id: string }) {
  const [lines, setLines] = useState<Line[]>()
  const [error, setError] = useState<Refusal>()
  const [text, setText] = useState('')
  const [follows, setFollows] = useState(true)
  const [turn, setTurn] = useState(0)
  const box = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const control = new AbortController()
    const follow = async () => {
      let cursor: string | undefined
      while (!control.signal.aborted) {
        const asked = cursor === undefined ? { id, tail: 1000 } : { id, tail: 1000, cursor, wait: 3 }
        const { data } = await call('containers.logs', asked, { signal: control.signal })
        if (control.signal.aborted) return
        if (data.lines.length > 0 || cursor === undefined)
          setLines((before = []) => [...before, ...data.lines].slice(-mostLines))
        cursor = data.next_cursor
        if (document.visibilityState === 'hidden')
          await new Promise((resolve) => document.addEventListener('visibilitychange', resolve, { once: true }))
      }
    }
    setError(undefined)
    follow().catch((thrown: unknown) => control.signal.aborted || setError(asRefusal(thrown)))
    return () => control.abort()
  }, [id, turn])
  useEffect(() => {
    if (follows && box.current) box.current.scrollTop = box.current.scrollHeight
  }, [lines, follows])
  const onScroll = () => {
    const { scrollTop, clientHeight, scrollHeight } = box.current!
    setFollows(scrollHeight - scrollTop - clientHeight < 30)
  }
  const shown = (lines ?? []).filter((line) => line.text.toLowerCase().includes(text.toLowerCase()))
  return (
    <>
      <div class="list-bar">
        <input
          type="search"
          data-search
          aria-label={t('search')}
          placeholder={t('searchLog')}
          value={text}
          onInput={({ currentTarget }) => setText(currentTarget.value)}
        />
        {!follows && (
          <Button icon="down" onClick={() => setFollows(true)}>
            {t('toEnd')}
          </Button>
        )}
      </div>
      {error && <Problem error={error} onRetry={() => setTurn(turn + 1)} />}
      {!lines && !error && <Skeleton />}
      {lines?.length === 0 && <Empty title={t('noLog')} />}
      {lines && lines.length > 0 && (
        <div
          class="log"
          ref={box}
          role="log"
          tabIndex={0}
          aria-label={t('tab.logs')}
          aria-live="off"
          onScroll={onScroll}
        >
          {shown.slice(-1000).map((line, index) => (
            <pre key={index} class={line.stream === 'stderr' ? 'err' : ''}>
              {line.time && <time>{line.time.slice(11, 23)}</time>}
              {plain(line.text.slice(0, longestShown))}
              {(line.truncated || line.text.length > longestShown) && ' …'}
            </pre>
          ))}
        </div>
      )}
    </>
  )
}

/** The text without the escape sequences of terminals. */
// oxlint-disable-next-line no-control-regex
const plain = (text: string) => text.replaceAll(/\u001B\[[0-9;?]*[ -/]*[@-~]/g, '')
