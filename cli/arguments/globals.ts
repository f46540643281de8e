/** A flag that every command takes. */
export type GlobalFlag = { short?: string; value?: string; does: string; choices?: string[] }

export const outputFormats = ['table', 'wide', 'json', 'ndjson', 'yaml', 'csv', 'name']

/** Flags of every command. A parameter of an action with the same name wins. */
export const globalFlags: Record<string, GlobalFlag> = {
  output: { short: 'o', value: 'FORMAT', does: `One of ${outputFormats.join(', ')}`, choices: outputFormats },
  columns: { value: 'NAMES', does: 'Columns of the table or CSV, separated by commas; a.b is a field of a field' },
  'no-headers': { does: 'Leave out the line with the names of the columns' },
  watch: { short: 'w', does: 'Show a list, or one resource, again at each change' },
  file: { short: 'f', value: 'FILE', does: 'Read the body from a file of YAML or JSON; - is standard input' },
  set: { value: 'A.B=VALUE', does: 'Set one field of the body, also a nested one; repeatable' },
  yes: { short: 'y', does: 'Do not ask before something is destroyed' },
  'dry-run': { does: 'Show the request, or the plan, and change nothing' },
  'no-wait': { does: 'Do not wait for the operation; print its id' },
  'wait-timeout': { value: 'TIME', does: 'Wait at most so long for an operation, such as 5m; it goes on then' },
  context: { short: 'c', value: 'NAME', does: 'Use another context than the current one' },
  url: { value: 'URL', does: 'Use the server at this address' },
  quiet: { short: 'q', does: 'Print no progress' },
  help: { short: 'h', does: 'Show help for the command' },
}

/** Flags that would put a secret into the list of processes and the history of the shell. */
export const secretFlags = ['password', 'token', 'api-key', 'secret', 'totp']
