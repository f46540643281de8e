/** The sign of the page, as in its icon. In the document it needs no request. */
export const Logo = () => (
  <svg viewBox="0 0 32 32" aria-hidden="true">
    <rect width="32" height="32" rx="8" fill="#1f6f4a" />
    <path d="M10 7v18M22 7v18M10 16h12" stroke="#fff" stroke-width="3.4" stroke-linecap="round" fill="none" />
  </svg>
)

export const Brand = () => (
  <span class="brand">
    <Logo />
    Horcrux
  </span>
)
