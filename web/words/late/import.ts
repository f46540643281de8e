/** Words of guests and VMs that come from elsewhere. */
export const imports = {
  'verb.adoptGuests': 'Adopt guests',
  adoptGuestsHint: 'Guests of this node that Horcrux does not manage yet. They run on, and stay as they are.',
  adoptChosen: 'Adopt {count}',
  adoptRefused: 'These cannot be adopted',
  noGuestsToAdopt: 'Horcrux manages all guests of this node',
  importVm: 'Import VM',
  makeVolume: 'Make volume',
  asDescribed: 'as described, or SATA',
  emptyDisk: 'Empty disk',
  'f.importNetworks': 'Networks (JSON)',
  'hint.importName': 'Empty: that of the descriptor',
  'hint.importNetworks': 'For example [{"from": "VM Network", "bridge": "br0"}]; others go to the network default',
  importChanges: 'Becomes something else',
  importUnmapped: 'The VM does not get',
  importViolations: 'Stands against it',
  staysAsItIs: 'Stays as it is, and is not shown or copied: {what}',
}
