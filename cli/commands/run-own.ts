import type { OwnName } from './registry.ts'

/** Each command is imported when it runs, so that the others cost no time. */
export const runOwn: Record<OwnName, (words: string[]) => Promise<number>> = {
  login: async (words) => (await import('./login.ts')).login(words),
  setup: async (words) => (await import('./login.ts')).setup(words),
  logout: async (words) => (await import('./login.ts')).logout(words),
  whoami: async (words) => (await import('./rights.ts')).whoami(words),
  'can-i': async (words) => (await import('./rights.ts')).canI(words),
  context: async (words) => (await import('./context.ts')).context(words),
  ps: async (words) => (await import('./ps.ts')).ps(words),
  apply: async (words) => (await import('../apply/apply.ts')).apply(words),
  diff: async (words) => (await import('../apply/apply.ts')).diff(words),
  edit: async (words) => (await import('../apply/edit.ts')).edit(words),
  console: async (words) => (await import('./console.ts')).serialConsole(words),
  exec: async (words) => (await import('./exec.ts')).exec(words),
  attach: async (words) => (await import('./exec.ts')).attach(words),
  logs: async (words) => (await import('./logs.ts')).logs(words),
  events: async (words) => (await import('./events.ts')).events(words),
  wait: async (words) => (await import('./wait.ts')).wait(words),
  import: async (words) => (await import('./import.ts')).importVm(words),
  cp: async (words) => (await import('./copy.ts')).cp(words),
  open: async (words) => (await import('./open.ts')).openPage(words),
  api: async (words) => (await import('./api.ts')).api(words),
  completion: async (words) => (await import('../completion/scripts.ts')).completion(words),
  version: async (words) => (await import('./version.ts')).version(words),
  help: async (words) => (await import('./help.ts')).help(words),
}
