import packageJson from '../../package.json' with { type: 'json' }
import { readArguments } from '../arguments.ts'

/** `horcrux version` */
export async function version(words: string[]): Promise<number> {
  readArguments(words, {})
  process.stdout.write(`horcrux ${packageJson.version} (Node ${process.versions.node})\n`)
  return 0
}
