import * as facts from 'virtual:forms'
import { useLocation } from 'preact-iso'
import { useState } from 'preact/hooks'
import { asRefusal, type Refusal } from '../../api/refusal.ts'
import type { Field, Raw } from '../../forms/fields.ts'
import { withFacts } from '../../forms/with-facts.ts'
import { paramsOf, put as putIn, rawOf, readForm } from '../../forms/fields.ts'
import { Input } from '../../forms/input.tsx'
import { run } from '../../forms/run.ts'
import { useYaml } from '../../forms/use-yaml.ts'
import { YamlForm } from '../../forms/yaml-form.tsx'
import { useCollection } from '../../live/collection.ts'
import { ended } from '../../live/operations.ts'
import { isOffline } from '../../live/stream.ts'
import { Button } from '../../widgets/button.tsx'
import { Page } from '../../widgets/layout.tsx'
import { Problem } from '../../widgets/states.tsx'
import { t } from '../../words/words.ts'
import { cloudInitFields, isLockedOut, seedOf } from './cloud-init.tsx'
import { requestOf, valuesOf } from './new-vm-params.ts'

const draftKey = 'horcrux.new-vm'
const defaults: Raw = {
  memory: '2 GiB',
  cpus: '2',
  size: '20 GiB',
  network: 'default',
  architecture: facts.enums.architecture[0] ?? '',
  hypervisor: facts.enums.hypervisor[0] ?? '',
  firmware: '',
  start: true,
}
const secret = 'user.plain_password'

/** One page: name and size, disk and network, access; the rest is folded. The draft survives a reload. */
export function NewVm() {
  const { route } = useLocation()
  const pools = useCollection('pools.list', {}, 'pools.get')
  const nodes = useCollection('nodes.list', {}, 'nodes.get')
  const [raw, setRaw] = useState<Raw>(() => ({ ...defaults, ...JSON.parse(sessionStorage.getItem(draftKey) ?? '{}') }))
  const [wrong, setWrong] = useState<Record<string, string>>({})
  const [error, setError] = useState<Refusal>()
  const [isBusy, setBusy] = useState(false)
  const poolIds = pools.items.filter(({ state }) => state === 'active').map(({ id }) => id)
  /** Until the storage pools are known, a form without a choice would make a VM without a disk. */
  const isWaiting = pools.at === 0 && pools.error?.status !== 403 && raw['pool'] === undefined
  const value = (name: string) => raw[name] ?? (name === 'pool' ? (poolIds[0] ?? '') : '')
  const put = (name: string, next: string | boolean) => {
    const now = { ...raw, [name]: next }
    setRaw(now)
    // A password is not written down.
    sessionStorage.setItem(draftKey, JSON.stringify({ ...now, [secret]: undefined }))
  }
  const shown: { title: string; fields: readonly Field[]; isFolded?: boolean }[] = [
    {
      title: t('group.size'),
      fields: [
        { name: 'name', label: 'f.name', isRequired: true, hint: 'hint.name' },
        { name: 'memory', label: 'f.memory', isRequired: true, hint: 'hint.memory' },
        { name: 'cpus', label: 'f.cpus', isRequired: true },
      ],
    },
    {
      title: t('group.disk'),
      fields: [
        {
          name: 'pool',
          label: 'f.pool',
          kind: 'select',
          options: [['', t('noDisk')], ...poolIds.map((id) => [id, id] as const)],
        },
        {
          name: 'size',
          label: 'f.size',
          when: (form) => Boolean(form['pool'] ?? poolIds[0]),
          hint: 'hint.size',
        },
        { name: 'image', label: 'f.image', when: (form) => Boolean(form['pool'] ?? poolIds[0]), hint: 'hint.image' },
        { name: 'iso', label: 'f.iso', hint: 'hint.iso' },
        { name: 'network', label: 'f.network', hint: 'hint.networkOrNone' },
      ],
    },
    { title: t('group.access'), fields: cloudInitFields().filter(({ name }) => name !== 'network'), isFolded: true },
    {
      title: t('group.more'),
      isFolded: true,
      fields: [
        {
          name: 'node',
          label: 'f.node',
          kind: 'select',
          options: [['', t('automatic')], ...nodes.items.map(({ id, name }) => [id, name] as const)],
        },
        { name: 'hypervisor', label: 'f.hypervisor', kind: 'select', options: facts.enums.hypervisor },
        {
          name: 'architecture',
          label: 'f.architecture',
          kind: 'select',
          options: facts.enums.architecture,
        },
        { name: 'firmware', label: 'f.firmware', kind: 'select', options: [['', t('automatic')], 'bios', 'uefi'] },
        { name: 'boot.kernel', label: 'f.kernel', hint: 'hint.kernel' },
        { name: 'boot.initrd', label: 'f.initrd' },
        { name: 'boot.cmdline', label: 'f.cmdline' },
        { name: 'resource_pool', label: 'f.resourcePool' },
        { name: 'tags', label: 'f.tags', hint: 'hint.tags' },
        { name: 'description', label: 'f.description', kind: 'area' },
        { name: 'protected', label: 'f.protected' },
        { name: 'autostart', label: 'f.autostart' },
      ],
    },
  ]
  const groups = shown.map((group) => ({
    ...group,
    fields: withFacts(facts, 'vms.create', group.fields, (example) => t('suchAs', { example })),
  }))
  const fields = groups.flatMap((group) => group.fields)
  const full = Object.fromEntries([
    ...fields.map(({ name }) => [name, value(name)]),
    ['start', raw['start'] ?? false],
  ]) as Raw
  /** The request of a form; a password is not shown. */
  const requestIn = (form: Raw, isShown: boolean) => {
    const read = readForm(fields, isShown ? { ...form, [secret]: '' } : form)
    return { ...read, request: { ...requestOf(paramsOf(read.values)), start: form['start'] === true } }
  }
  const yaml = useYaml({
    requestOf: () => requestIn(full, true).request,
    fill: (request, isSame) => {
      const next = {
        ...rawOf(fields, valuesOf(request)),
        [secret]: full[secret] ?? '',
        start: request['start'] === true,
      }
      const { values, request: shown } = requestIn(next, true)
      if (!isSame(shown, { start: false, disks: [], nics: [], ...request })) return undefined
      setRaw(next)
      return values
    },
  })
  /** The request to send; undefined if it has mistakes, which are shown. */
  const given = async (): Promise<Record<string, unknown> | undefined> => {
    if (yaml.text !== undefined) {
      const request = await yaml.read()
      if (request && full[secret]) putIn(request, `cloud_init.${secret}`, full[secret])
      return request
    }
    const { request, wrong } = requestIn(full, false)
    setWrong(Object.fromEntries(Object.entries(wrong).map(([name, word]) => [name, t(word)])))
    if (Object.keys(wrong).length === 0) return request
    focusWrong()
    return undefined
  }
  const submit = async (event: Event) => {
    event.preventDefault()
    if (isBusy || isWaiting || isOffline.value) return
    setError(undefined)
    const request = await given()
    if (!request) return
    setBusy(true)
    const { cloud_init: seed, start, ...vm } = request
    const startsLater = seed !== undefined && start === true
    try {
      const operation = await run('vms.create', { ...vm, start: start === true && !startsLater })
      sessionStorage.removeItem(draftKey)
      const path = operation.resources.find((each) => each.startsWith('/api/vms/')) ?? ''
      const id = decodeURIComponent(path.split('/').at(-1) ?? '')
      route(id ? `/vms/${id}` : '/vms')
      if (seed) await seedAndStart(id, operation, seed as Record<string, unknown>, startsLater)
    } catch (thrown) {
      const refusal = asRefusal(thrown)
      const names: Record<string, string> = {
        'disks.0.size': 'size',
        'disks.0.pool': 'pool',
        'disks.0.image': 'image',
        'nics.0.network': 'network',
      }
      setWrong(Object.fromEntries(refusal.violations.map(({ field, message }) => [names[field] ?? field, message])))
      setError(refusal)
      setBusy(false)
      if (yaml.text !== undefined) await yaml.showAt(refusal)
      focusWrong()
    }
  }
  const seed = seedOf(paramsOf(readForm(groups[2]!.fields, full).values))
  return (
    <Page
      title={t('createVm')}
      above={
        <nav class="crumbs" aria-label={t('place')}>
          <a href="/vms">{t('nav.vms')}</a>
        </nav>
      }
    >
      <form class="form" style={{ maxWidth: '46rem' }} onSubmit={submit} noValidate>
        {error && <Problem error={error} />}
        {pools.error && <Problem error={pools.error} title={t('poolsUnknown')} />}
        {nodes.error && <Problem error={nodes.error} title={t('nodesUnknown')} />}
        {yaml.text !== undefined && <YamlForm text={yaml.text} mistakes={yaml.mistakes} onInput={yaml.change} />}
        {(yaml.text === undefined ? groups : []).map(({ title, fields, isFolded }) => {
          const inputs = fields
            .filter(({ when }) => !when || when(full))
            .map((field) => (
              <Input
                key={field.name}
                field={field}
                value={value(field.name)}
                wrong={wrong[field.name]}
                onInput={(next) => put(field.name, next)}
              />
            ))
          return isFolded ? (
            <details key={title} class="card" open={fields.some(({ name }) => wrong[name]) || undefined}>
              <summary>{title}</summary>
              <div class="pair form" style={{ paddingTop: '0.75rem' }}>
                {inputs}
              </div>
            </details>
          ) : (
            <fieldset key={title} class="card">
              <legend>{title}</legend>
              <div class="pair">{inputs}</div>
            </fieldset>
          )
        })}
        {Object.keys(seed).some((key) => key !== 'hostname') && isLockedOut(seed) && (
          <p class="note" role="status">
            {t('lockedOut')}
          </p>
        )}
        {yaml.text === undefined && (
          <Input
            field={{ name: 'start', label: 'f.startAfter', kind: 'check' }}
            value={raw['start'] ?? false}
            onInput={(next) => put('start', next)}
          />
        )}
        <footer>
          <Button kind="quiet" onClick={() => void yaml.toggle()}>
            {t(yaml.text === undefined ? 'asYaml' : 'asForm')}
          </Button>
          <a class="button" href="/vms">
            {t('cancel')}
          </a>
          <Button
            type="submit"
            kind="main"
            isBusy={isBusy || isWaiting}
            reason={isOffline.value ? t('offlineReason') : undefined}
          >
            {t('createVm')}
          </Button>
        </footer>
      </form>
    </Page>
  )
}

const focusWrong = () => requestAnimationFrame(() => document.querySelector<HTMLElement>('[aria-invalid]')?.focus())

/** The seed is given before the first start, which reads it. */
async function seedAndStart(
  id: string,
  operation: Parameters<typeof ended>[0],
  seed: Record<string, unknown>,
  starts: boolean,
): Promise<void> {
  if ((await ended(operation)).state !== 'succeeded') return
  const seeded = await run('cloudinit.set', { id, ...seed })
  if ((await ended(seeded)).state === 'succeeded' && starts) await run('vms.start', { id })
}
