import type { ImportPlan } from '#shared/contracts/vm/vm-imports.ts'
import { ActionForm, type Plan } from '../../forms/action-form.tsx'
import type { Field } from '../../forms/fields.ts'
import { Dialog } from '../../widgets/dialog.tsx'
import { bytes, mib } from '../../words/format.ts'
import { t, type Word } from '../../words/words.ts'
import '../import-words.ts'

/** Uploads that are one virtual machine: an OVA, or a descriptor with the files beside it. */
export type Package = { upload: string; name: string; files: { name: string; upload: string }[] }

const fields: readonly Field[] = [
  { name: 'name', label: 'f.name', hint: 'hint.importName' },
  {
    name: 'bus',
    label: 'f.bus',
    kind: 'select',
    options: [['', t('asDescribed')], 'virtio', 'scsi', 'sata'],
  },
  { name: 'networks', label: 'f.importNetworks', kind: 'json', hint: 'hint.importNetworks' },
  { name: 'keep_macs', label: 'f.keepMacs' },
  { name: 'start', label: 'f.startAfter' },
]

function Lines({ title, of }: { title: Word; of: string[] }) {
  if (of.length === 0) return null
  return (
    <>
      <h4>{t(title)}</h4>
      <ul>
        {of.map((line, index) => (
          <li key={index}>{line}</li>
        ))}
      </ul>
    </>
  )
}

/** The VM that an upload becomes, with everything that changes, and everything that stands against it. */
export function showPlan(plan: Plan) {
  // The plan of this action, by its contract.
  const { name, node, cpus, memory, firmware, disks, nics, changed, unmapped, violations } = plan as ImportPlan
  return (
    <section class="note" role="status" aria-label={t('plan')}>
      <h3>{t('plan')}</h3>
      <p>
        <b>{name}</b> ({node}): {cpus} × CPU, {mib(memory)} {firmware?.toUpperCase()}
      </p>
      <ul>
        {disks.map(({ file, size_bytes, bus, pool }, index) => (
          <li key={index}>
            {file ?? t('emptyDisk')}: {bytes(size_bytes)}, {bus}, {pool}
          </li>
        ))}
        {nics.map(({ from, network, bridge, model }, index) => (
          <li key={`nic ${index}`}>
            {from ?? '–'} → {network ?? bridge}, {model}
          </li>
        ))}
      </ul>
      <Lines title="importChanges" of={changed} />
      <Lines title="importUnmapped" of={unmapped} />
      <Lines title="importViolations" of={violations.map(({ field, message }) => `${field}: ${message}`)} />
    </section>
  )
}

/** The dialog that makes a virtual machine of uploaded files; the plan first. */
export function ImportVm({ pool, of, onClose }: { pool: string; of: Package; onClose: () => void }) {
  const { upload, files, name } = of
  return (
    <Dialog title={`${t('importVm')}: ${name}`} shape="wide" onClose={onClose}>
      <ActionForm
        action="vm-imports.run"
        params={{ pool, upload, files }}
        fields={fields}
        initial={{ networks: [] }}
        prepare={({ bus, ...given }) => ({ ...given, ...(bus ? { bus } : {}) })}
        submit="importVm"
        showPlan={showPlan}
        onDone={onClose}
        onCancel={onClose}
      />
    </Dialog>
  )
}
