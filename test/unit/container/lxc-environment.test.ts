import { expect, test } from 'vitest'
import { splitPath } from '../../../services/container/drivers/files.ts'
import { environmentFor } from '../../../services/container/drivers/lxc/environment.ts'

test('no variable of a command changes lxc-attach on the node; the others are in none of its arguments', () => {
  const hostile = {
    PATH: '/evil',
    LD_PRELOAD: '/evil.so',
    LD_LIBRARY_PATH: '/evil',
    SHELL: '/evil',
    OPENSSL_CONF: '/evil.cnf',
    GCONV_PATH: '/evil',
    LXC_X: '1',
    BASH_ENV: '/evil',
  }
  const { words, env } = environmentFor({ ...hostile, DB_PASSWORD: 'secret', greeting: 'a=b\nc' })
  expect(env).toEqual({ DB_PASSWORD: 'secret', greeting: 'a=b\nc' })
  expect(words).toEqual([
    '--clear-env',
    '--keep-var=DB_PASSWORD',
    '--keep-var=greeting',
    ...Object.entries(hostile).map(([name, value]) => `--set-var=${name}=${value}`),
  ])
})

test('a path is a folder and a name in it, of which none is an option', () => {
  expect(splitPath('/etc/hosts')).toEqual({ folder: '/etc', name: 'hosts' })
  expect(splitPath('/etc/')).toEqual({ folder: '/', name: 'etc' })
  expect(splitPath('/')).toEqual({ folder: '/', name: '.' })
  expect(splitPath('/a/-rf')).toEqual({ folder: '/a', name: './-rf' })
  expect(splitPath('/a/..')).toEqual({ folder: '/a/..', name: '.' })
})
