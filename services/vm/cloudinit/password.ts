import { localHost } from '#shared/nodes/host/local/local.ts'

/** A password as crypt(5) keeps it: SHA-512 with a salt of its own (openssl-passwd(1)). It passes through a pipe only. */
export async function hashOf(password: string): Promise<string> {
  const { stdout } = await localHost().runChecked('openssl', ['passwd', '-6', '-stdin'], {
    secretInput: `${password}\n`,
  })
  return stdout.trim()
}
