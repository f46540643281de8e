export const backups = {
  'f.booted': 'Gestartet',
  'f.bootCheck': 'Als gestartet gilt sie, wenn',
  'f.serialText': 'Text auf der seriellen Konsole',
  'f.seconds': 'Sekunden',
  'f.jobProof': 'Prüfungen (JSON)',
  'hint.bootSeconds': 'Leer: 300, oder 60, wenn sie nur laufen muss',
  'check.agent': 'ihr Agent antwortet',
  'check.serial': 'ein Text auf der seriellen Konsole steht',
  'check.running': 'sie nach einer Zeit noch läuft',
}
