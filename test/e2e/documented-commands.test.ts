import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { missingForNats } from '../lab/bus/nats.ts'
import { missingForHosts } from '../lab/hosts/hosts.ts'
import { type Instance, startHorcrux } from '../lab/machine/instance.ts'
import { type Machine, startMachine } from '../lab/machine/machine.ts'
import { repository } from '../lab/repository.ts'
import { available } from '../lab/requirements.ts'

const problems = [...(await missingForHosts()), ...(await missingForNats())]
const pages = ['README.md', 'docs/api.md', 'docs/running.md']

/** The `sh` blocks of a page, without those that are marked as not tested. */
async function blocksOf(page: string): Promise<string[]> {
  const text = await readFile(join(repository, page), 'utf8')
  const blocks = [...text.matchAll(/^```(.*)\n([^]*?)^```$/gm)].map(([, info, block]) => ({ info, block: block! }))
  const shells = blocks.filter(({ info }) => /^(sh|bash|shell|console)\b/.test(info!))
  for (const { info } of shells) expect(['sh', 'sh not-tested']).toContain(info)
  return shells.filter(({ info }) => info === 'sh').map(({ block }) => block)
}

/** A newcomer: `HORCRUX_DATA` is set for `npm start` only, and everything else is typed in another terminal. */
describe.skipIf(!available('libvirt', problems))('in another terminal than npm start', () => {
  let machine: Machine
  let instance: Instance
  let credentials: { TOKEN: string; PASSWORD: string }

  const type = (script: string, env: Record<string, string> = {}) =>
    machine.run('env', ['-u', 'HORCRUX_DATA', '-u', 'HORCRUX_PORT', 'bash', '-ec', `set -o pipefail\n${script}`], {
      ...env,
      HOME: join(machine.dir, 'home'),
    })

  beforeAll(async () => {
    machine = await startMachine(join(inject('run').dir, 'documented'))
    await mkdir(join(machine.dir, 'home'))
    // Without it curl succeeds with every answer.
    await writeFile(join(machine.dir, 'home/.curlrc'), 'fail\nshow-error\n')
    instance = await startHorcrux(machine, { HORCRUX_DATA: join(machine.dir, 'elsewhere') }, ['npm'])
    // Debian's network `default` would make a bridge and firewall rules in the network that the machine shares. No guest
    // of these pages with a NIC is started.
    const network = `<network><name>default</name><forward mode='bridge'/><bridge name='docs0'/></network>`
    const virsh = 'virsh -q -c qemu:///system'
    const networks = `${virsh} net-undefine default\n${virsh} net-define /dev/stdin <<<"$0"\n${virsh} net-start default`
    expect(await machine.run('bash', ['-ec', networks, network])).toMatchObject({ code: 0 })
    const commands = instance
      .said()
      .split('\n')
      .filter((line) => /^ +(curl|TOKEN=)/.test(line))
    const { stdout, stderr } = await type(`${commands.join('\n')}\necho; echo "token=$TOKEN"`)
    expect(stderr).toBe('')
    const PASSWORD = /"password":"([^"]+)"/.exec(commands.join('\n'))?.[1] ?? ''
    credentials = { TOKEN: /^token=(.+)$/m.exec(stdout)?.[1] ?? '', PASSWORD }
    // README.md: `npx horcrux login` asks on a terminal; the command line then has its sign-in.
    const login = `printf %s "$PASSWORD" | npx horcrux login ${instance.url} --user admin --password-stdin`
    expect(await type(login, credentials)).toMatchObject({ code: 0 })
  })
  afterAll(() => machine?.remove())

  test('the text of npm start names its data folder and the life of the token', () => {
    expect(instance.said()).toContain(instance.dataDir)
    expect(instance.said()).toContain('the token ends after 15 minutes')
  })

  test.each(pages)('the commands of %s work in a row, as printed', async (page) => {
    const blocks = await blocksOf(page)
    expect(blocks.length).toBeGreaterThan(0)
    const script = blocks.join('\n').replaceAll('http://127.0.0.1:8006', instance.url)
    const { code, stdout, stderr } = await type(`set -x\n${script}`, credentials)
    expect(code, `${stderr}\n${stdout}`).toBe(0)
    expect(stdout).not.toMatch(/"state":"(failed|cancelled|running|queued)"/)
  })

  test('every command without HORCRUX_DATA belongs to the running Horcrux, and says so', async () => {
    const { public_key } = (await (
      await fetch(`${instance.url}/api/audit/key`, { headers: { authorization: `Bearer ${credentials.TOKEN}` } })
    ).json()) as { public_key: string }
    const key = await type('node bin/horcrux.js audit key')
    expect(key).toMatchObject({ code: 0, stdout: `${public_key}\n` })
    expect(key.stderr).toContain(`HORCRUX_DATA=${instance.dataDir}`)
    const guest = await type('node bin/horcrux.js tiny-guest')
    expect(JSON.parse(guest.stdout)).toMatchObject({ kernel: expect.stringContaining(instance.dataDir) })
    const restored = await type('node bin/horcrux.js backup-config restore ~/horcrux.backup')
    expect(restored).toMatchObject({ code: 2, stderr: expect.stringContaining(`HORCRUX_DATA=${instance.dataDir}`) })
  })

  test('another secret key than that of the running Horcrux is a mistake, not another public key', async () => {
    const { code, stdout, stderr } = await type('node bin/horcrux.js audit key', { HORCRUX_SECRET_KEY: 'x'.repeat(40) })
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain('another HORCRUX_SECRET_KEY')
  })

  test('an instance that was killed is not used any more', async () => {
    await instance.signal('KILL')
    await instance.exit
    const { code, stdout, stderr } = await type('cd "$HOME" && node "$OLDPWD/bin/horcrux.js" audit key')
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain('no Horcrux runs here')
  })
})
