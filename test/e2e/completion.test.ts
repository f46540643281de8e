import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { repository } from '../lab/repository.ts'
import { available } from '../lab/requirements.ts'
import { until } from '../lab/wait.ts'

const host = localHost()
const shells = ['bash', 'zsh', 'fish']
const missing = await Promise.all(shells.map(async (name) => ((await host.which(name)) ? [] : [name])))

/** No server runs here: nouns, verbs, flags and words come from the manifest, names of resources are none. */
describe.skipIf(!available('shells', missing.flat()))('completion', () => {
  let folder: string
  let env: Record<string, string>

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'horcrux-completion-'))
    await mkdir(join(folder, 'home'))
    const path = `${join(repository, 'bin')}:${process.env['PATH']}`
    env = { HOME: join(folder, 'home'), PATH: path, HORCRUX_URL: 'http://127.0.0.1:1', TERM: 'xterm', SHELL: '/bin/sh' }
  })
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true })
  })

  const cases: [string[], string[]][] = [
    [['vms', 'shutd'], ['shutdown']],
    [['vms', 'create', 'x', '--firmw'], ['--firmware']],
    [
      ['vms', 'create', '--firmware', ''],
      ['bios', 'uefi'],
    ],
    [
      ['completion', ''],
      ['bash', 'zsh', 'fish'],
    ],
    [['vms', 'start', ''], []],
  ]

  test.each(cases)('bash completes %j', async (words, found) => {
    const script = `source <(horcrux completion bash)
      COMP_WORDS=(horcrux "$@"); COMP_CWORD=$#
      eval "$(complete -p horcrux | sed 's/.*-F \\([^ ]*\\) .*/\\1/')"
      printf '%s\\n' "\${COMPREPLY[@]}"`
    const { stdout, code } = await host.run('bash', ['-c', script, 'bash', ...words], { env })
    expect(code).toBe(0)
    expect(stdout.split('\n').filter(Boolean)).toEqual(found)
  })

  // fish sorts.
  test.each(cases)('fish completes %j', async (words, found) => {
    const line = ['horcrux', ...words].join(' ')
    const script = 'source (horcrux completion fish | psub); complete -C "$argv[1]"'
    const { stdout, stderr } = await host.run('fish', ['--no-config', '-c', script, line], { env })
    expect(stderr).toBe('')
    expect(
      stdout
        .split('\n')
        .filter(Boolean)
        .map((one) => one.split('\t')[0]),
    ).toEqual(found.toSorted())
  })

  test('zsh completes a verb and the words of a flag on a terminal', async () => {
    const child = await host.spawn('script', ['-qec', 'stty cols 200; exec zsh -f -i', '/dev/null'], { env })
    let shown = ''
    child.stdout.on('data', (chunk: Buffer) => (shown += chunk.toString('utf8')))
    const sees = (text: RegExp) => until(() => text.test(shown), { what: `${text} in ${shown}` })
    try {
      child.stdin.write(
        "PS1='> '; unsetopt ZLE_RPROMPT_INDENT; autoload -Uz compinit; compinit -u -D; source <(horcrux completion zsh); echo rea''dy\r",
      )
      await sees(/ready/)
      shown = ''
      child.stdin.write('horcrux vms shutd\t')
      await sees(/shutdown/)
      child.stdin.write('\u0015horcrux vms create --firmware \t')
      await sees(/bios[^]*uefi/)
    } finally {
      await child.kill()
    }
  })

  test('file names are left to the shell', async () => {
    const { stdout } = await host.run(join(repository, 'bin/horcrux'), ['__complete', '--', 'apply', '-f', ''], { env })
    expect(stdout).toBe(':files\n')
  })
})
