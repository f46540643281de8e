/** A write command: the message as it came from the client. */
export type Job = { kind: 'job'; id: number; message: Uint8Array }

export type ToWriter = Job | { kind: 'close' }

export type FromWriter =
  | { kind: 'ready' }
  | { kind: 'closed' }
  | { kind: 'answers'; answers: { id: number; answer: Uint8Array }[] }
