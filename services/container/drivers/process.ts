import type { Writable } from 'node:stream'
import type { Output } from '#shared/nodes/docker/demultiplex.ts'

export type { Output }

export type Size = { columns: number; rows: number }

/** A command for a container that runs. */
export type Command = {
  command: string[]
  env: Record<string, string>
  /** A name or a number of the container's users; an engine may know numbers only. null: the container's own. */
  user: string | null
  /** Set: the command gets a terminal of this size, and its output is undivided. */
  terminal: Size | null
  /** The command reads from `input`; otherwise its standard input is empty. */
  hasInput: boolean
}

export type Reason = 'exited' | 'not_found' | 'not_executable' | 'timed_out' | 'lost'
export type Ended = { code: number | null; reason: Reason }

/** A command that runs in a container. */
export type Process = {
  /** Must be read to its end. */
  output: AsyncIterable<Output>
  input: Writable | null
  /** Without a terminal it does nothing. */
  resize: (size: Size) => Promise<void>
  /** Ends the streams; the command itself is killed by its mark. */
  close: () => void
  /** After the output has ended. `lost`: its outcome is not known. */
  end: () => Promise<Ended>
}
