import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ValidationError } from '#shared/errors.ts'
import { planDown, planUp, type Standing } from '../../../services/container/stacks/plan.ts'
import { documentOf, specOf } from '../../../services/container/stacks/project/document.ts'
import { parseProject } from '../../../services/container/stacks/project/parse.ts'

const parse = (text: string) => parseProject(text, 'shop')
function violations(text: string): string[] {
  try {
    parse(text)
    return []
  } catch (error) {
    if (!(error instanceof ValidationError)) throw error
    return error.violations.map(({ field, message }) => `${field} ${message}`)
  }
}
const service = (lines: string[]) =>
  violations(['services:', '  web:', '    image: tiny', ...lines.map((line) => `    ${line}`)].join('\n'))

test('short forms of a Compose file are read as their long ones', () => {
  const { services, volumes, networks } = parse(`
version: "3.9"
x-more: { any: thing }
name: shop
services:
  web:
    image: tiny:1
    command: [sleep, 1000]
    environment: [A=1, "B=x=y"]
    labels: { role: front }
    ports: ["8080:80", "127.0.0.1:53:53/udp", "[::1]:81:81", 9000]
    volumes: [data:/data:ro, /srv/web:/web, /scratch]
    networks: [back]
    depends_on: [db]
    restart: no
    cpus: "0.5"
    mem_limit: 64m
    user: 1000
  db: { image: tiny, environment: { DEBUG: true, PORT: 5432 }, scale: 2 }
volumes: { data: }
networks: { back: { internal: true } }
`)
  expect(services['web']).toEqual({
    image: 'tiny:1',
    command: ['sleep', '1000'],
    environment: { A: '1', B: 'x=y' },
    labels: { role: 'front' },
    ports: [
      { target: 80, published: 8080, protocol: 'tcp' },
      { target: 53, published: 53, protocol: 'udp', host_ip: '127.0.0.1' },
      { target: 81, published: 81, protocol: 'tcp', host_ip: '::1' },
      { target: 9000, protocol: 'tcp' },
    ],
    volumes: [
      { type: 'volume', source: 'data', target: '/data', read_only: true },
      { type: 'bind', source: '/srv/web', target: '/web' },
      { type: 'volume', target: '/scratch' },
    ],
    networks: { back: {} },
    depends_on: { db: { condition: 'service_started' } },
    restart: 'no',
    cpus: 0.5,
    mem_limit: '64m',
    user: '1000',
  })
  expect(services['db']).toMatchObject({ environment: { DEBUG: 'true', PORT: '5432' }, scale: 2 })
  expect({ volumes, networks }).toEqual({ volumes: { data: {} }, networks: { back: { internal: true } } })
})

test.each([
  ['build: .', 'compose_file.services.web.build'],
  ['env_file: /etc/shadow', 'compose_file.services.web.env_file'],
  ['extends: { file: /etc/passwd, service: x }', 'compose_file.services.web.extends'],
  ['pid: host', 'compose_file.services.web.pid'],
  ['ipc: host', 'compose_file.services.web.ipc'],
  ['uts: host', 'compose_file.services.web.uts'],
  ['userns_mode: host', 'compose_file.services.web.userns_mode'],
  ['network_mode: host', 'compose_file.services.web.network_mode'],
  ['cap_add: [SYS_ADMIN]', 'compose_file.services.web.cap_add'],
  ['devices: ["/dev/sda:/dev/sda"]', 'compose_file.services.web.devices'],
  ['security_opt: ["apparmor:unconfined"]', 'compose_file.services.web.security_opt'],
  ['cgroup_parent: /', 'compose_file.services.web.cgroup_parent'],
  ['volumes_from: ["container:other"]', 'compose_file.services.web.volumes_from'],
  ['secrets: [key]', 'compose_file.services.web.secrets'],
  ['logging: { driver: syslog }', 'compose_file.services.web.logging'],
  ['runtime: evil', 'compose_file.services.web.runtime'],
  ['sysctls: { net.ipv4.ip_forward: 1 }', 'compose_file.services.web.sysctls'],
])('%s is refused by its name', (line, field) => {
  expect(service([line])).toEqual([`${field} is not supported in a stack`])
})

test('a file cannot reach the node by its volumes, networks or secrets', () => {
  const file = (more: string) =>
    violations(`services: { web: { image: tiny, volumes: ["v:/v"], networks: [n] } }\n${more}`)
  const both = (volume: string, network: string) => file(`volumes: { v: ${volume} }\nnetworks: { n: ${network} }`)
  expect(both('{ driver_opts: { type: none, o: bind, device: / } }', '{}')).toEqual([
    'compose_file.volumes.v.driver_opts is not supported in a stack',
  ])
  expect(both('{}', '{ driver: macvlan }')).toHaveLength(1)
  expect(both('{}', '{ external: true, name: host }')).toEqual([
    "compose_file.networks.n must not be the network 'host' of the engine",
  ])
  expect(both('{}', '{}')).toEqual([])
  expect(violations('services: { web: { image: tiny } }\nsecrets: { key: { file: /etc/shadow } }')).toEqual([
    'compose_file.secrets is not supported in a stack',
  ])
  expect(violations('include: [/etc/passwd]\nservices: { web: { image: tiny } }')).toEqual([
    'compose_file.include is not supported in a stack',
  ])
})

test('all violations of a file are named at once', () => {
  const found = violations(`
name: other
services:
  web:
    image: "-rm"
    command: "echo $HOME"
    environment: [SECRET]
    ports: ["80:80", "80:81", "8000-8010:80"]
    volumes: ["gone:/a", "../x:/b", "~/x:/c"]
    depends_on: [web, nobody]
    networks: [nowhere]
  "../up": { image: tiny }
`)
  const fields = found.map((line) => line.split(' ')[0])
  for (const field of [
    'compose_file.name',
    'compose_file.services.web.image',
    'compose_file.services.web.command',
    'compose_file.services.web.environment.SECRET',
    'compose_file.services.web.ports.2',
  ])
    expect(fields, found.join('\n')).toContain(field)
  const second = violations(`
services:
  web:
    image: tiny
    ports: ["80:80", "80:81"]
    scale: 2
    container_name: one
    volumes: ["gone:/a", "/srv:/a", "/srv:/../etc"]
    depends_on: [web, nobody, db]
    networks: [nowhere]
    labels: { com.docker.compose.project: x }
  db: { image: tiny, depends_on: [web] }
`)
  const expected = ['ports.1', 'ports.0', 'container_name', 'volumes.0.source', 'volumes.1.target', 'volumes.2.target']
  for (const field of [
    ...expected,
    'depends_on.web',
    'depends_on.nobody',
    'networks.nowhere',
    'labels.com.docker.compose.project',
    'depends_on',
  ])
    expect(
      second.map((line) => line.split(' ')[0]),
      second.join('\n'),
    ).toContain(`compose_file.services.web.${field}`)
})

test.each([
  ['a: [', 'is no YAML at line 1'],
  ['- a', 'must be a Compose file'],
  ['a: 1\na: 2', 'is no YAML at line 2'],
  ['[[[['.repeat(20_000), ''],
  [
    `a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c]`,
    'has too many aliases',
  ],
  ['services: !!js/function "x"', ''],
  ['services: {}', 'compose_file.services'],
  ['{}', 'compose_file.services'],
])('hostile text %# is refused', (text, message) => {
  expect(violations(text).join()).toContain(message)
  expect(violations(text)).not.toEqual([])
})

test('any text is read or refused, and never throws anything else', () => {
  const words = fc.constantFrom(
    'services:',
    ' web:',
    '  image: tiny',
    '  ports:',
    '   - "1:1"',
    '  volumes: [a]',
    '&a',
    '*a',
    '<<: *a',
    '__proto__:',
    ' constructor: 1',
    '- ',
    '$',
    '"',
    '\u0000',
    '  labels: [x]',
  )
  fc.assert(
    fc.property(fc.array(fc.oneof(words, fc.string())), (lines) => {
      expect(Array.isArray(violations(lines.join('\n')))).toBe(true)
    }),
    { numRuns: 300 },
  )
})

test('texts reach Compose as they were written, and nothing in them is a variable', () => {
  const project = parse(
    'services: { web: { image: tiny, command: [echo, "$$HOME $${X}"], environment: { A: "p$$q" } } }',
  )
  expect(project.services['web']!.command).toEqual(['echo', '$HOME ${X}'])
  // It was made right here.
  const { services } = JSON.parse(documentOf('it', project)) as {
    services: Record<string, { command: string[]; environment: object; labels: object }>
  }
  expect(services['web']).toMatchObject({
    command: ['echo', '$$HOME $${X}'],
    environment: { A: 'p$$q' },
    labels: { 'horcrux.stack': 'it' },
  })
})

test('the plan names what each service of a project needs', () => {
  const project = parse(`
services:
  new: { image: tiny }
  same: { image: tiny, volumes: ["data:/data"] }
  more: { image: tiny, scale: 2 }
  off: { image: tiny }
  other: { image: tiny, environment: { A: "2" } }
  pulled: { image: tiny }
volumes: { data: {}, unused: {} }
`)
  const of = (name: string, more: Partial<Standing> = {}): Standing => ({
    service: name,
    status: 'running',
    spec: project.services[name] ? specOf(project.services[name]) : 'x',
    hasCurrentImage: true,
    ...more,
  })
  const standing = [
    of('same'),
    of('more'),
    of('off', { status: 'stopped' }),
    of('other', { spec: 'before' }),
    of('pulled', { hasCurrentImage: false }),
    of('gone'),
  ]
  const owned = { volumes: ['shop_old'], networks: ['shop_default'] }
  const plan = planUp({ id: 'it', name: 'shop', standing, owned }, project)
  expect(plan.services.map(({ name, action }) => `${name} ${action}`)).toEqual([
    'new create',
    'same keep',
    'more scale',
    'off start',
    'other recreate',
    'pulled recreate',
    'gone remove',
  ])
  expect(plan.volumes).toEqual([{ name: 'shop_data', action: 'create' }])
  expect(plan.networks).toEqual([{ name: 'shop_default', action: 'keep' }])
  expect(planUp({ id: 'it', name: 'shop', standing, owned }, project).plan_id).toBe(plan.plan_id)
  expect(planUp({ id: 'it', name: 'shop', standing: standing.slice(1), owned }, project).plan_id).not.toBe(plan.plan_id)
  const end = planDown({ id: 'it', name: 'shop', standing, owned }, true)
  expect(end.services.every(({ action }) => action === 'remove')).toBe(true)
  expect(end.volumes).toEqual([{ name: 'shop_old', action: 'remove' }])
  expect(planDown({ id: 'it', name: 'shop', standing, owned }, false).volumes[0]!.action).toBe('keep')
})
