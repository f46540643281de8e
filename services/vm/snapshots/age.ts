/** `sequence`: its place in the order in which snapshots were taken; a version without it has written none. */
export type Aged = { id: string; created_at: string; sequence?: number | undefined }

/** The oldest first. The time of creation decides only between equal places: the clock may have been set back. */
export const byAge = (a: Aged, b: Aged): number =>
  (a.sequence ?? 0) - (b.sequence ?? 0) || a.created_at.localeCompare(b.created_at) || a.id.localeCompare(b.id)
