import { type Api, byId, change, type Prepare } from './plain-change.ts'

const role = (name: string, privilege = 'VmAudit') => ({ name, description: '', privileges: [privilege] })
const password = 'Sonnenblume-8'
const grant = (id: string) => ({
  id,
  subject: { kind: 'user', id: 'admin' },
  role: 'VmUser',
  path: `/api/vms/${id}`,
})

/** Makes a user. @returns a token of a sign-in with the password, which API keys are made with */
async function signedIn(make: Api['make'], username: string): Promise<string> {
  await make('POST /api/users', { username, password })
  return String((await make('POST /api/auth/login', { username, password })).body['token'])
}

/** Changes of users, roles, groups and grants. */
export const accessChanges: Record<string, Prepare> = {
  'roles.create': async (_, name) => ({
    first: change('POST /api/roles', role(name)),
    later: change(`DELETE /api/roles/${name}`),
    read: `/api/roles/${name}`,
  }),
  'roles.replace': async ({ make }, name) => {
    await make('POST /api/roles', role(name, 'VmConfig'))
    const as = (privilege: string) => ({ description: privilege, privileges: [privilege] })
    return {
      first: change(`PUT /api/roles/${name}`, as('VmAudit')),
      later: change(`PUT /api/roles/${name}`, as('VmConsole')),
      read: `/api/roles/${name}`,
    }
  },
  'roles.delete': async ({ make }, name) => {
    await make('POST /api/roles', role(name))
    return {
      first: change(`DELETE /api/roles/${name}`),
      later: change('POST /api/roles', role(name, 'VmConsole')),
      read: `/api/roles/${name}`,
    }
  },
  'users.create': async (_, name) => ({
    first: change('POST /api/users', { username: name, password }),
    later: change(`DELETE /api/users/${name}`),
    read: `/api/users/${name}`,
  }),
  'users.change': async ({ make }, name) => {
    await make('POST /api/users', { username: name, password })
    return {
      first: change(`PATCH /api/users/${name}`, { full_name: 'First' }),
      later: change(`PATCH /api/users/${name}`, { full_name: 'Second' }),
      read: `/api/users/${name}`,
    }
  },
  'users.delete': async ({ make }, name) => {
    await make('POST /api/users', { username: name, password })
    return {
      first: change(`DELETE /api/users/${name}`),
      later: change('POST /api/users', { username: name, password, full_name: 'Second' }),
      read: `/api/users/${name}`,
    }
  },
  'users.createKey': async ({ make }, name) => {
    const token = await signedIn(make, name)
    return {
      first: { ...change(`POST /api/users/${name}/api-keys`, { name: 'first' }), token },
      later: { ...change(`POST /api/users/${name}/api-keys`, { name: 'second' }), token },
      read: `/api/users/${name}/api-keys`,
    }
  },
  'users.revokeKey': async ({ make }, name) => {
    const token = await signedIn(make, name)
    const { body } = await make(`POST /api/users/${name}/api-keys`, { name: 'first' }, token)
    return {
      first: change(`DELETE /api/users/${name}/api-keys/${String(body['id'])}`),
      later: { ...change(`POST /api/users/${name}/api-keys`, { name: 'first' }), token },
      read: `/api/users/${name}/api-keys`,
    }
  },
  'groups.create': async (_, name) => ({
    first: change('POST /api/groups', { id: name, name }),
    later: change(`DELETE /api/groups/${name}`),
    read: `/api/groups/${name}`,
  }),
  'groups.replace': async ({ make }, name) => {
    await make('POST /api/groups', { id: name, name })
    return {
      first: change(`PUT /api/groups/${name}`, { name, description: 'first' }),
      later: change(`PUT /api/groups/${name}`, { name, description: 'second' }),
      read: `/api/groups/${name}`,
    }
  },
  'groups.delete': async ({ make }, name) => {
    await make('POST /api/groups', { id: name, name })
    return {
      first: change(`DELETE /api/groups/${name}`),
      later: change('POST /api/groups', { id: name, name, description: 'second' }),
      read: `/api/groups/${name}`,
    }
  },
  'groups.putMember': async ({ make }, name) => {
    await make('POST /api/groups', { id: name, name })
    return {
      first: change(`PUT /api/groups/${name}/members/admin`),
      later: change(`DELETE /api/groups/${name}/members/admin`),
      read: `/api/groups/${name}`,
    }
  },
  'groups.removeMember': async ({ make }, name) => {
    await make('POST /api/groups', { id: name, name, members: ['admin'] })
    return {
      first: change(`DELETE /api/groups/${name}/members/admin`),
      later: change(`PUT /api/groups/${name}/members/admin`),
      read: `/api/groups/${name}`,
    }
  },
  'permissions.create': async (_, name) => ({
    first: change('POST /api/permissions', grant(name)),
    later: change(`DELETE /api/permissions/${name}`),
    read: '/api/permissions?limit=1000',
    pick: byId(name),
  }),
  'permissions.delete': async ({ make }, name) => {
    await make('POST /api/permissions', grant(name))
    return {
      first: change(`DELETE /api/permissions/${name}`),
      later: change('POST /api/permissions', grant(name)),
      read: '/api/permissions?limit=1000',
      pick: byId(name),
    }
  },
}
