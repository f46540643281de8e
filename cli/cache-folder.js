/** The client's cache: `$XDG_CACHE_HOME/horcrux`, else `~/.cache/horcrux`. Undefined without a home. */
export function cacheFolder() {
  const { XDG_CACHE_HOME, HOME } = process.env
  if (XDG_CACHE_HOME) return `${XDG_CACHE_HOME}/horcrux`
  return HOME ? `${HOME}/.cache/horcrux` : undefined
}
