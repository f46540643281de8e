import type { storage as en } from '../en/storage.ts'

export const storage: Record<keyof typeof en, string> = {
  'f.bytesPerSecond': 'Bytes pro Sekunde, höchstens',
  'hint.bytesPerSecond': 'Etwa 100 MiB; leer ohne Grenze',
  'hint.downloadQcow2': 'Enthält nur die belegten Daten. Ein unterbrochener Download beginnt von vorn.',
  'hint.downloadRaw': 'So groß wie das Volume. Ein unterbrochener Download kann dort weitergehen.',
  'hint.orphanImages': 'Dateien oder Geräte im Speicherpool, für die kein Volume von Horcrux steht.',
  'hint.orphanOthers': 'Sie können keine Volumes sein und bleiben, wie sie sind.',
  'hint.orphanVolumes': 'Volumes von Horcrux, deren Abbild fehlt.',
  isInNoPool: 'Die Platte ist in keinem Speicherpool',
  isUsedMove: 'Eine VM benutzt es: auf der Seite der VM unter Hardware verschieben',
  moveIsCompared: 'Die Kopie wird Byte für Byte verglichen, bevor die Quelle gelöscht wird.',
  moveIsLive:
    'Der Gast läuft weiter, während die Platte kopiert wird, und hält an, während beide verglichen werden. Sind sie gleich, wird die Quelle gelöscht.',
  noOrphans: 'Nichts verwaist: Jedes Abbild hat ein Volume und jedes Volume ein Abbild',
  orphanImages: 'Abbilder ohne Volume',
  orphanOthers: 'Anderes',
  orphanVolumes: 'Volumes ohne Abbild',
  takeOrphans: 'Die Abbilder zu Volumes machen',
  unused: 'unbenutzt',
  'verb.download': 'Herunterladen',
  'verb.downloadDisk': 'Platte herunterladen',
  'verb.moveVolume': 'In anderen Speicherpool verschieben',
  'verb.orphans': 'Verwaistes',
}
