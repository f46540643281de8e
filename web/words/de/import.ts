import type { imports as en } from '../late/import.ts'

export const imports: Record<keyof typeof en, string> = {
  'verb.adoptGuests': 'Gäste übernehmen',
  adoptGuestsHint: 'Gäste dieses Nodes, die Horcrux noch nicht verwaltet. Sie laufen weiter und bleiben, wie sie sind.',
  adoptChosen: '{count} übernehmen',
  adoptRefused: 'Diese können nicht übernommen werden',
  noGuestsToAdopt: 'Horcrux verwaltet alle Gäste dieses Nodes',
  staysAsItIs: 'Bleibt, wie es ist, und wird nicht gezeigt oder kopiert: {what}',
}
