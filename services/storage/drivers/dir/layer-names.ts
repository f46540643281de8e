import type { VolumeFormat } from '#shared/contracts/storage/pools.ts'
import type { VolumeName } from '../driver.ts'

/** The file of a volume's head: the driver's word for a head is the name of its file. */
export const fileOfVolume = ({ name, format, head }: VolumeName): string => head ?? `${name}.${format}`

/** The file of a layer. No volume has `@` in its name, so a layer is never taken for one. */
export const layerFile = (name: string, id: string): string => `${name}@${id}.qcow2`

export const isLayer = (file: string): boolean => /^[A-Za-z0-9][A-Za-z0-9._-]*@[A-Za-z0-9-]+\.qcow2$/.test(file)

/** The format of a layer: that of its file's name. */
export function formatOf(file: string): VolumeFormat {
  const format = file.slice(file.lastIndexOf('.') + 1)
  if (format === 'qcow2' || format === 'raw') return format
  throw new Error(`${file} is no layer`)
}

/** True for the name of a file whose format is known. */
export const isImage = (file: string): boolean => /^[^/]+\.(qcow2|raw)$/.test(file)

/** True for the files that a volume can have. */
export const isFileOf = (file: string, { name }: VolumeName): boolean =>
  file === `${name}.qcow2` || file === `${name}.raw` || (isLayer(file) && file.startsWith(`${name}@`))
