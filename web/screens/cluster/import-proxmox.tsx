import type { Node } from '#shared/contracts/cluster/nodes.ts'
import { ActionForm } from '../../forms/action-form.tsx'
import type { Field } from '../../forms/fields.ts'
import { t } from '../../words/words.ts'
import '../import-words.ts'
import { showPlan } from '../storage/import-vm.tsx'

const fields: readonly Field[] = [
  { name: 'vmid', label: 'f.vmid', isRequired: true },
  { name: 'address', label: 'f.address', isRequired: true },
  { name: 'port', label: 'f.port' },
  { name: 'token_id', label: 'f.tokenId', isRequired: true },
  { name: 'token_secret', label: 'f.tokenSecret', isRequired: true },
  { name: 'fingerprint', label: 'f.fingerprint', hint: 'hint.fingerprint' },
  { name: 'pool', label: 'f.pool', isRequired: true },
  { name: 'node', label: 'f.node' },
  { name: 'resource_pool', label: 'f.resourcePool' },
  { name: 'name', label: 'f.name', hint: 'hint.proxmoxName' },
  { name: 'bus', label: 'f.bus', kind: 'select', options: [['', t('asDescribed')], 'virtio', 'scsi', 'sata'] },
  { name: 'networks', label: 'f.importNetworks', kind: 'json', hint: 'hint.proxmoxNetworks' },
  { name: 'keep_macs', label: 'f.keepMacs' },
]

/** Copies a virtual machine of a node that is a host of Proxmox VE; the plan first. */
export function ImportProxmox({ node: { id, address }, onClose }: { node: Node; onClose: () => void }) {
  return (
    <>
      <p class="dim">{t('proxmoxHint')}</p>
      <ActionForm
        action="proxmox-imports.run"
        params={{ source_node: id }}
        fields={fields}
        initial={{ networks: [], port: 8006, keep_macs: true, ...(address !== null && { address }) }}
        prepare={({ bus, ...given }) => ({ ...given, ...(bus ? { bus } : {}) })}
        submit="importVm"
        showPlan={showPlan}
        onDone={onClose}
        onCancel={onClose}
      />
    </>
  )
}
