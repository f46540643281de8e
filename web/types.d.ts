declare module 'virtual:actions' {
  /** Route, access and whether it changes something, by `contract.action`; see page-config.ts. */
  export const actions: Record<string, [route: string, access: string, changes: 0 | 1]>
  export const topics: string[]
  /** Fields of a request to create a storage pool, by kind. */
  export const poolKinds: Record<string, { name: string; type: string; description?: string; initial?: unknown }[]>
  /** Choices of new VMs and containers. */
  export const enums: Record<'hypervisor' | 'architecture' | 'runtime' | 'restart_policy', string[]>
}
declare module '*.css' {}
