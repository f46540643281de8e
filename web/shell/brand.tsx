export const Brand = () => (
  <span class="brand">
    <img src="/icon.svg" alt="" />
    Horcrux
  </span>
)
