import type { Runtime } from '#shared/contracts/container/parts.ts'
import { idle } from './idle.ts'
import type { LabEngines } from './start.ts'

/** The fields that make a container of an engine: of an image, or of an archive. */
export const sourceOf = ({ archive }: Pick<LabEngines, 'archive'>, runtime: Runtime) =>
  runtime === 'docker' || runtime === 'podman'
    ? { image: 'tiny', command: idle }
    : runtime === 'lxc'
      ? { rootfs: archive }
      : { image: 'tiny' }
