import type uPlot from 'uplot'
import { useEffect, useRef } from 'preact/hooks'
import { theme } from '../shell/theme.ts'
import { bytes, decimal, percent, time } from '../words/format.ts'
import { t } from '../words/words.ts'

type Point = { time: string; min: number | null; avg: number | null; max: number | null }
export type History = { unit: string; data: Point[] }

const shown = (unit: string, value: number | null) => {
  if (value === null) return '–'
  if (unit === 'percent' || unit === '%') return percent(value)
  if (unit.startsWith('bytes')) return `${bytes(value)}${unit.endsWith('/s') ? '/s' : ''}`
  return `${decimal(value)} ${unit}`
}

/** A line of averages in a band of the least and the most. Gaps stay gaps. The same numbers stand in a table. */
export function Chart({ title, history }: { title: string; history: History }) {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | undefined>(undefined)
  const { unit, data } = history
  const values: uPlot.AlignedData = [
    data.map((point) => Date.parse(point.time) / 1000),
    data.map(({ max }) => max),
    data.map(({ avg }) => avg),
    data.map(({ min }) => min),
  ]
  useEffect(() => {
    let isGone = false
    const element = box.current!
    const draw = async () => {
      const [{ default: UPlot }] = await Promise.all([import('uplot'), import('uplot/dist/uPlot.min.css')])
      if (!isGone) plot.current = new UPlot(optionsOf(element, unit), values, element)
    }
    void draw()
    const observer = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: 200 }))
    observer.observe(element)
    return () => {
      isGone = true
      observer.disconnect()
      plot.current?.destroy()
      plot.current = undefined
    }
  }, [unit, theme.value])
  useEffect(() => plot.current?.setData(values), [history])
  const measured = data.filter(({ avg }) => avg !== null)
  const last = measured.at(-1)
  return (
    <>
      <div ref={box} class="chart" role="img" aria-label={`${title}: ${last ? shown(unit, last.avg) : t('noData')}`} />
      <details>
        <summary>{t('asTable')}</summary>
        <div class="table-box" tabIndex={0} role="region" aria-label={title}>
          <table>
            <thead>
              <tr>
                <th>{t('f.time')}</th>
                <th class="num">{t('min')}</th>
                <th class="num">{t('avg')}</th>
                <th class="num">{t('max')}</th>
              </tr>
            </thead>
            <tbody>
              {measured
                .slice(-30)
                .toReversed()
                .map((point) => (
                  <tr key={point.time}>
                    <td>
                      <time dateTime={point.time}>{time(point.time)}</time>
                    </td>
                    <td class="num">{shown(unit, point.min)}</td>
                    <td class="num">{shown(unit, point.avg)}</td>
                    <td class="num">{shown(unit, point.max)}</td>
                  </tr>
                ))}
            </tbody>
          </table>
        </div>
      </details>
    </>
  )
}

function optionsOf(element: HTMLElement, unit: string): uPlot.Options {
  const style = getComputedStyle(document.body)
  const probe = (name: string) => {
    const mark = document.createElement('i')
    mark.style.color = `var(${name})`
    element.append(mark)
    const { color } = getComputedStyle(mark)
    mark.remove()
    return color
  }
  const [mark, dim, line] = [probe('--mark'), probe('--dim'), probe('--line')]
  const axis = {
    stroke: dim,
    font: `11px ${style.fontFamily}`,
    grid: { stroke: line, width: 1 },
    ticks: { stroke: line },
  }
  return {
    width: element.clientWidth,
    height: 200,
    legend: { show: false },
    scales: {
      y: {
        range: (_, least, most) => [
          Math.min(0, least ?? 0),
          unit === 'percent' || unit === '%' ? Math.max(10, most ?? 0) : (most || 1) * 1.05,
        ],
      },
    },
    series: [
      {},
      { stroke: 'transparent' },
      { stroke: mark, width: 2, points: { show: false } },
      { stroke: 'transparent' },
    ],
    bands: [{ series: [1, 3], fill: mark.replace('rgb(', 'rgba(').replace(')', ', 0.18)') }],
    axes: [axis, { ...axis, size: 68, values: (_, ticks) => ticks.map((tick) => shown(unit, tick)) }],
  }
}
