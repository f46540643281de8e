declare module 'virtual:actions' {
  /** Route, access and whether it changes something, by `contract.action`; see page-config.ts. */
  export const actions: Record<string, [route: string, access: string, changes: 0 | 1]>
  export const topics: string[]
}
declare module 'virtual:forms' {
  type Kind = 'text' | 'password' | 'check' | 'number' | 'bytes' | 'mib' | 'words'
  /** Kinds of inputs by the path of a parameter, and by `contract.action:path` where an action differs. */
  export const kinds: Record<string, Kind | undefined>
  /** Examples of texts by the path of a parameter. */
  export const examples: Record<string, string | undefined>
  /** Fields of a request to create a storage pool, by kind. */
  export const poolKinds: Record<
    string,
    { name: string; kind: Kind; description?: string; initial?: unknown; example?: string }[]
  >
  /** Choices of new VMs and containers. */
  export const enums: Record<'hypervisor' | 'architecture' | 'runtime' | 'restart_policy', string[]>
}
declare module '*.css' {}
