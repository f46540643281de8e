import { signal } from '@preact/signals'

export const themes = ['auto', 'light', 'dark'] as const
export type Theme = (typeof themes)[number]
export const theme = signal<Theme>(themes.find((each) => each === localStorage.getItem('horcrux.theme')) ?? 'auto')

export function chooseTheme(next: Theme): void {
  theme.value = next
  localStorage.setItem('horcrux.theme', next)
  document.documentElement.dataset['theme'] = next
}
