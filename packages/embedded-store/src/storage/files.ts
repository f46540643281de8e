/** The files of a data folder, for programs that copy or restore a store that does not run. */
export { embeddedGitVersion } from '../commands/handshake.ts'
export { finishRestore, stagedFile } from './restore.ts'
export { FORMAT, isReadable } from './format.ts'
export { dataFile, lockDataDir } from './storage.ts'
