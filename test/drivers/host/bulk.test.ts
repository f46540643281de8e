import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { buffer } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Host } from '#shared/nodes/host/host.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { sshHost } from '#shared/nodes/host/ssh/ssh.ts'
import { sshTarget, type LabHost } from '../../lab/hosts/hosts.ts'
import { labHosts } from '../../lab/hosts/lab.ts'
import { until } from '../../lab/wait.ts'

const [lab] = labHosts as [LabHost]
const folders = async () => (await readdir(tmpdir())).filter((name) => name.startsWith('horcrux-ssh-'))

/** The ids of programs whose arguments have a text. */
async function programsWith(text: string): Promise<string[]> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const lines = await Promise.all(ids.map((id) => readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '')))
  return ids.filter((_, index) => lines[index]!.includes(text))
}

let host: Host
let dir: string
beforeAll(async () => {
  host = sshHost(sshTarget(lab))
  dir = (await host.runChecked('mktemp', ['-d'])).stdout.trim()
  const echo = `const server = require('node:net').createServer({ allowHalfOpen: true }, (s) => s.pipe(s))
server.listen(process.argv[1], () => console.log('listens'))`
  const child = await host.spawn(process.execPath, ['-e', echo, `${dir}/echo`])
  await once(child.stdout, 'data')
})
afterAll(async () => {
  await host.close()
})

test('large data passes through the program ssh, which ends with its socket and leaves no file', async () => {
  const before = await folders()
  const socket = await host.openBulk!({ path: `${dir}/echo` })
  // A stream of ssh2 is none.
  expect(socket).toBeInstanceOf(Socket)
  const [program] = await programsWith(`:${dir}/echo`)
  const words = await readFile(`/proc/${program}/cmdline`, 'utf8')
  const secret = lab.privateKey.split('\n')[1]!
  const environment = await readFile(`/proc/${program}/environ`, 'utf8')
  expect(words + environment).not.toContain(secret)
  const made = (await folders()).filter((name) => !before.includes(name))
  for (const folder of made)
    for (const name of await readdir(`${tmpdir()}/${folder}`))
      if (name === 'known_hosts') expect(await readFile(`${tmpdir()}/${folder}/${name}`, 'utf8')).not.toContain(secret)
      else expect(name).toBe('local')
  const sent = randomBytes(8 * 2 ** 20)
  socket.end(sent)
  expect((await buffer(socket)).equals(sent)).toBe(true)
  await until(async () => (await programsWith(`:${dir}/echo`)).length === 0, { what: 'the end of ssh' })
  await until(async () => (await folders()).every((name) => before.includes(name)), {
    what: 'the removal of its folder',
  })
})

test('a key with a passphrase and a key of RSA log in as well', async () => {
  const keys = (await localHost().runChecked('mktemp', ['-d'])).stdout.trim()
  const authorized = `${lab.keyFile}.pub`
  const known = await readFile(authorized, 'utf8')
  const open = async (words: string[], passphrase: string) => {
    const file = `${keys}/${words[1]}`
    await localHost().runChecked('ssh-keygen', ['-q', ...words, '-N', passphrase, '-f', file])
    await localHost().writeFile(
      authorized,
      `${await readFile(authorized, 'utf8')}${await readFile(`${file}.pub`, 'utf8')}`,
    )
    const more = passphrase === '' ? {} : { passphrase }
    return sshHost({ ...sshTarget(lab), privateKey: await readFile(file, 'utf8'), ...more })
  }
  const hosts = [await open(['-t', 'rsa', '-b', '2048'], ''), await open(['-t', 'ed25519'], 'Kirschkuchen')]
  try {
    for (const one of hosts) {
      const socket = await one.openBulk!({ path: `${dir}/echo` })
      expect(socket).toBeInstanceOf(Socket)
      socket.end('through')
      expect(String(await buffer(socket))).toBe('through')
    }
  } finally {
    await Promise.all(hosts.map((one) => one.close()))
    await localHost().writeFile(authorized, known)
    await localHost().remove(keys, { recursive: true })
  }
})

test('a connection to nothing ends early', async () => {
  const socket = await host.openBulk!({ path: `${dir}/nothing` })
  socket.resume()
  await once(socket, 'end')
  socket.destroy()
  await until(async () => (await programsWith(`:${dir}/nothing`)).length === 0, { what: 'the end of ssh' })
})
