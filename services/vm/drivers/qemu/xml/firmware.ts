import { at, attribute, childOf, type Element, remove, takeAttributes, takeChild, writeXml } from './xml.ts'

/**
 * Gives a domain the firmware of another: file or features (secure boot on or off), and the template of its variables.
 * The file of the variables stays its own.
 * @returns whether it had another
 */
export function takeFirmware(into: Element, from: Element): boolean {
  const before = writeXml(into)
  const [os, source] = [childOf(into, 'os'), at(from, 'os')]
  takeAttributes(os, source, 'firmware')
  takeChild(os, source, 'firmware')
  takeChild(os, source, 'loader')
  const nvram = at(os, 'nvram')
  if (attribute(at(source, 'loader'), 'stateless') === 'yes') remove(os, 'nvram')
  else if (nvram) takeAttributes(nvram, at(source, 'nvram'), 'template', 'templateFormat', 'format')
  // A firmware with secure boot runs with it alone.
  if (at(from, 'features', 'smm')) takeChild(childOf(into, 'features'), at(from, 'features'), 'smm')
  return writeXml(into) !== before
}

/** True when a domain's UEFI variables are in no file of its host: another domain cannot get a copy. */
export function hasRemoteVariables(domain: Element): boolean {
  const type = attribute(at(domain, 'os', 'nvram'), 'type')
  return type !== undefined && type !== 'file'
}
