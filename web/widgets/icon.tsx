/** Outlines on a grid of 24, drawn with the colour of the text. */
const shapes = {
  home: 'M4 11 12 4l8 7v9h-5v-6H9v6H4z',
  vm: 'M3 5h18v11H3zM8 20h8M12 16v4',
  container: 'M12 3l8 4.5v9L12 21l-8-4.5v-9zM12 12l8-4.5M12 12v9M12 12 4 7.5',
  storage:
    'M4 6c0-1.7 3.6-3 8-3s8 1.3 8 3-3.6 3-8 3-8-1.3-8-3zM4 6v6c0 1.7 3.6 3 8 3s8-1.3 8-3V6M4 12v6c0 1.7 3.6 3 8 3s8-1.3 8-3v-6',
  node: 'M4 4h16v6H4zM4 14h16v6H4zM8 7h.01M8 17h.01',
  network: 'M12 4v6M5 20v-4h14v4M12 10v6M9 2h6v4H9zM2 18h6v4H2zM16 18h6v4h-6z',
  policy: 'M12 3l8 3v6c0 4.5-3.4 7.8-8 9-4.6-1.2-8-4.5-8-9V6z',
  operation: 'M4 12a8 8 0 1 1 2.3 5.6M4 20v-5h5M12 8v4l3 2',
  alert: 'M12 4 2.5 20h19zM12 10v4M12 17h.01',
  audit: 'M6 3h9l4 4v14H6zM9 12h7M9 16h7M9 8h3',
  user: 'M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4 21c.6-4 4-6 8-6s7.4 2 8 6',
  group:
    'M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2 20c.5-3.5 3.3-5.5 7-5.5s6.500 2 7 5.500M16 4.500a3.500 3.500 0 0 1 0 6M18 14.800c2.300.6 3.700 2.400 4 5.200',
  role: 'M15 9a4 4 0 1 0-3.500 4L9 15.500V18H6.500v2.500H3V17l6-6',
  pool: 'M4 7h7v5H4zM13 7h7v5h-7zM4 14h7v5H4zM13 14h7v5h-7z',
  schedule: 'M4 6h16v15H4zM4 10h16M8 3v4M16 3v4M12 13v3h2.500',
  search: 'M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM16 16l5 5',
  menu: 'M4 6h16M4 12h16M4 18h16',
  close: 'M6 6l12 12M18 6 6 18',
  more: 'M5 12h.01M12 12h.01M19 12h.01',
  theme: 'M12 3a9 9 0 1 0 9 9 7 7 0 0 1-9-9z',
  move: 'M4 8h13M13 4l4 4-4 4M20 16H7M11 12l-4 4 4 4',
  up: 'M6 15l6-6 6 6',
  down: 'M6 9l6 6 6-6',
  copy: 'M8 8h12v12H8zM4 16V4h12',
  plus: 'M12 5v14M5 12h14',
} as const
export type IconName = keyof typeof shapes

export const Icon = ({ name }: { name: IconName }) => (
  <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
    <path d={shapes[name]} />
  </svg>
)
