import { useUrlState } from '../../lists/url-state.ts'
import { useReading } from '../../live/cache.ts'
import { call } from '../../api/client.ts'
import { Chart } from '../../widgets/chart.tsx'
import { Card } from '../../widgets/layout.tsx'
import { Loaded } from '../../widgets/states.tsx'
import { t, type Word } from '../../words/words.ts'
import { useEffect } from 'preact/hooks'

const metrics: { word: Word; metric: string }[] = [
  { word: 'm.cpu', metric: 'cpu_percent' },
  { word: 'm.memory', metric: 'memory_percent' },
  { word: 'm.diskRead', metric: 'disk_read_bytes_per_second' },
  { word: 'm.diskWritten', metric: 'disk_written_bytes_per_second' },
  { word: 'm.received', metric: 'network_received_bytes_per_second' },
  { word: 'm.sent', metric: 'network_sent_bytes_per_second' },
]
const hours: Record<string, number> = { '1h': 1, '6h': 6, '24h': 24, '7d': 168, '30d': 720, '1y': 8760 }
const refreshMs = 15_000

/** Charts of a node or VM over a time range; the range is in the address. */
export function Metrics({ subject }: { subject: string }) {
  const [chosen, choose] = useUrlState('range')
  const range = chosen in hours ? chosen : '1h'
  return (
    <div class="stack">
      <label class="row">
        {t('f.range')}
        <select value={range} onChange={({ currentTarget }) => choose(currentTarget.value, 'push')}>
          {Object.keys(hours).map((key) => (
            <option key={key} value={key}>
              {t(`range.${key}` as Word)}
            </option>
          ))}
        </select>
      </label>
      <div class="cards">
        {metrics.map(({ word, metric }) => (
          <Series key={metric} title={t(word)} subject={subject} metric={metric} hours={hours[range]!} />
        ))}
      </div>
    </div>
  )
}

function Series({ title, subject, metric, hours }: { title: string; subject: string; metric: string; hours: number }) {
  const read = async () => {
    const end = new Date()
    const start = new Date(end.getTime() - hours * 3_600_000)
    const { data } = await call('monitoring.history', {
      metric,
      subject,
      start: start.toISOString(),
      end: end.toISOString(),
      width: 240,
    })
    return data
  }
  const shown = useReading(`${subject} ${metric} ${hours}`, `/api/monitoring/history/${metric}`, read)
  useEffect(() => {
    const timer = setInterval(() => document.visibilityState === 'visible' && shown.retry(), refreshMs)
    return () => clearInterval(timer)
  }, [subject, metric, hours])
  return (
    <Card title={title}>
      <Loaded of={shown} rows={3}>
        {(history) => <Chart title={title} history={history} />}
      </Loaded>
    </Card>
  )
}
