/**
 * Names by which a program of the node, or a library of it, is changed: of the linker, the C library, shells, LXC and
 * TLS libraries.
 */
const changesPrograms =
  /^(LD_|GLIBC_|GCONV|GETCONF|HOSTALIASES|LOCALDOMAIN|LOCPATH|LANG|LC_|MALLOC_|NIS_|NLSPATH|RES_|RESOLV_|TMP|TEMP|TZ|PATH|SHELL|HOME|USER|LOGNAME|TERM|COLUMNS|LINES|ENV$|BASH|IFS|PS\d|CDPATH|SHLVL|LXC|OPENSSL|SSL|XDG_|DBUS_|SYSTEMD|LIBSECCOMP|SECCOMP|NSS_|KRB5|GNUTLS|P11_|G_|GIO_|PERL|PYTHON|container)/

/**
 * The environment of a command in a container, for lxc-attach. It is handed on by name, so that no argument has a value of
 * it; but lxc-attach itself runs on the node with it, as root: names that change programs are handed on as arguments.
 */
export function environmentFor(given: Record<string, string>): { words: string[]; env: Record<string, string> } {
  const all = Object.entries(given)
  const apart = all.filter(([name]) => changesPrograms.test(name))
  const env = Object.fromEntries(all.filter(([name]) => !changesPrograms.test(name)))
  return {
    words: [
      '--clear-env',
      ...Object.keys(env).map((name) => `--keep-var=${name}`),
      ...apart.map(([name, value]) => `--set-var=${name}=${value}`),
    ],
    env,
  }
}
