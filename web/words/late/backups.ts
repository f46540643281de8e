/** Words of backups, their jobs and verifications. */
export const backups = {
  'f.booted': 'Booted',
  'f.bootCheck': 'It has booted when',
  'f.serialText': 'Text on its serial console',
  'f.seconds': 'Seconds',
  'f.jobProof': 'Verifications (JSON)',
  'hint.bootSeconds': 'Empty: 300, or 60 where it only has to run',
  'check.agent': 'its agent answers',
  'check.serial': 'a text is on its serial console',
  'check.running': 'it still runs after a time',
}
