import { signal } from '@preact/signals'

/** The set-up token of the link that the start prints. A fragment is never sent to the server, nor logged. */
const given = new URLSearchParams(location.hash.slice(1)).get('setup')
export const setupToken = signal<string | undefined>(given ?? undefined)
if (given !== null) history.replaceState(null, '', location.pathname)
