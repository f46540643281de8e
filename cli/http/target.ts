/** A server, and how the client signs in there. */
export type Target = {
  /** Such as `https://10.0.0.5:8006`, without /api. */
  url: string
  credential?: Credential
  /** PEM of the self-signed certificate that was accepted at the first use. */
  certificate?: string
  /** Name of the context, if it comes from one. */
  context?: string
}

export type Credential = { kind: 'token' | 'session'; value: string }

/** The headers of a credential. A session cookie needs a header that a foreign page cannot set. */
export function credentialHeaders({ credential }: Target): Record<string, string> {
  if (!credential) return {}
  if (credential.kind === 'session') return { cookie: `horcrux_session=${credential.value}`, 'x-horcrux-request': '1' }
  return { authorization: `Bearer ${credential.value}` }
}
