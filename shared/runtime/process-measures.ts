import { monitorEventLoopDelay } from 'node:perf_hooks'
import { gauge, readCounter } from '#shared/runtime/measures.ts'

let delays: ReturnType<typeof monitorEventLoopDelay> | undefined

/** Memory, processor time and delay of the event loop of this process. Called once. */
export function measureProcess(): void {
  gauge('horcrux_process_resident_memory_bytes', 'Resident memory of the process', () => process.memoryUsage.rss())
  gauge('horcrux_process_heap_bytes', 'Heap in use', () => process.memoryUsage().heapUsed)
  readCounter('horcrux_process_cpu_seconds', 'Processor time of the process since its start', () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  })
  gauge('horcrux_process_start_time_seconds', 'Start of the process, since 1970', () => performance.timeOrigin / 1000)
  gauge('horcrux_event_loop_delay_seconds', 'Longest delay of the event loop since the page before', () => {
    // Measured from the first page on: the histogram has a timer of its own.
    if (!delays) {
      delays = monitorEventLoopDelay({ resolution: 50 })
      delays.enable()
      return null
    }
    const seconds = delays.max / 1e9
    delays.reset()
    return seconds
  })
}
