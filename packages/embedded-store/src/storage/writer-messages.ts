/** A write command: the message as it came from the client, and when. */
export type Job = { kind: 'job'; id: number; message: Uint8Array; receivedMs: number }

export type ToWriter = Job | { kind: 'close' }

export type FromWriter =
  | { kind: 'ready' }
  | { kind: 'closed' }
  | { kind: 'answers'; answers: { id: number; answer: Uint8Array }[] }
