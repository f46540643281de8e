import type { imports as en } from '../late/import.ts'

export const imports: Record<keyof typeof en, string> = {
  'verb.adoptGuests': 'Gäste übernehmen',
  adoptGuestsHint: 'Gäste dieses Nodes, die Horcrux noch nicht verwaltet. Sie laufen weiter und bleiben, wie sie sind.',
  adoptChosen: '{count} übernehmen',
  adoptRefused: 'Diese können nicht übernommen werden',
  adoptUnread: '{count} weitere werden beim Übernehmen gelesen',
  noGuestsToAdopt: 'Horcrux verwaltet alle Gäste dieses Nodes',
  importVm: 'VM importieren',
  'verb.importProxmox': 'Von Proxmox VE importieren',
  proxmoxHint:
    'Für einen Node, der ein Host von Proxmox VE ist: eine seiner ausgeschalteten VMs wird hierher kopiert. Dort wird nichts geändert.',
  'f.vmid': 'Nummer der VM',
  'f.tokenId': 'API-Token',
  'f.tokenSecret': 'Geheimnis des Tokens',
  'f.fingerprint': 'Fingerabdruck des Zertifikats',
  'hint.fingerprint':
    'Leer: das Zertifikat muss von einer vertrauten Stelle sein; sonst zeigt der Fehler seinen Fingerabdruck',
  'hint.proxmoxNetworks': 'Etwa [{"from": "vmbr0", "bridge": "br0"}]; alle anderen kommen in das Netzwerk default',
  'hint.proxmoxName': 'Leer: ihr Name dort',
  makeVolume: 'Volume machen',
  asDescribed: 'wie beschrieben, oder SATA',
  emptyDisk: 'Leere Platte',
  'f.importNetworks': 'Netzwerke (JSON)',
  'hint.importName': 'Leer: der Name der Beschreibung',
  'hint.importNetworks': 'Etwa [{"from": "VM Network", "bridge": "br0"}]; alle anderen kommen in das Netzwerk default',
  importChanges: 'Wird zu etwas anderem',
  importUnmapped: 'Bekommt die VM nicht',
  importViolations: 'Steht dagegen',
  staysAsItIs: 'Bleibt, wie es ist, und wird nicht gezeigt oder kopiert: {what}',
}
