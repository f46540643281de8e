/** Words of guests and VMs that come from elsewhere. */
export const imports = {
  'verb.adoptGuests': 'Adopt guests',
  adoptGuestsHint: 'Guests of this node that Horcrux does not manage yet. They run on, and stay as they are.',
  adoptChosen: 'Adopt {count}',
  adoptRefused: 'These cannot be adopted',
  noGuestsToAdopt: 'Horcrux manages all guests of this node',
  staysAsItIs: 'Stays as it is, and is not shown or copied: {what}',
}
