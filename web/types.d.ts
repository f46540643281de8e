declare module 'virtual:actions' {
  /** Route, access and whether it changes something, by `contract.action`; see page-config.ts. */
  export const actions: Record<string, [route: string, access: string, changes: 0 | 1]>
  export const topics: string[]
}
declare module '*.css' {}
