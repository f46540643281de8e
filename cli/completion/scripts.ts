import { usageError } from '../errors.ts'
import { write } from '../output/print.ts'

/**
 * The scripts ask `horcrux __complete -- WORDS` for lines `word TAB description`. The program is named as it was typed, so that
 * `./bin/horcrux` completes too.
 */
const scripts: Record<string, string> = {
  bash: `_horcrux() {
  local IFS=$'\\n' words current=\${COMP_WORDS[COMP_CWORD]}
  words=("\${COMP_WORDS[@]:1:COMP_CWORD}")
  local line found=()
  while IFS= read -r line; do found+=("\${line%%$'\\t'*}"); done < <("\${COMP_WORDS[0]}" __complete -- "\${words[@]}" 2>/dev/null)
  if [ "\${found[0]}" = ':files' ]; then
    COMPREPLY=($(compgen -f -- "$current"))
    compopt -o filenames 2>/dev/null
    return
  fi
  COMPREPLY=()
  # bash breaks words at colons: only the part after the last one is inserted.
  local prefix=\${words[COMP_CWORD-1]}
  for line in "\${found[@]}"; do COMPREPLY+=("$line"); done
  [ "\${#COMPREPLY[@]}" -eq 1 ] && [[ \${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
}
complete -F _horcrux horcrux ./bin/horcrux
`,
  zsh: `#compdef horcrux
_horcrux() {
  local -a lines described
  local line
  lines=("\${(@f)$("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ "\${lines[1]}" == ':files' ]]; then
    _files
    return
  fi
  for line in "\${lines[@]}"; do
    [[ -n "$line" ]] || continue
    described+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done
  _describe -V 'horcrux' described
}
if [ "$funcstack[1]" = '_horcrux' ]; then _horcrux "$@"; else compdef _horcrux horcrux; fi
`,
  fish: `function __horcrux_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l found ($words[1] __complete -- $words[2..] 2>/dev/null)
    if test "$found[1]" = ':files'
        __fish_complete_path (commandline -ct)
    else
        printf '%s\\n' $found
    end
end
complete -c horcrux -f -a '(__horcrux_complete)'
`,
}

/** `horcrux completion SHELL`. */
export async function completion([shell, ...more]: string[]): Promise<number> {
  const script = shell !== undefined && Object.hasOwn(scripts, shell) ? scripts[shell] : undefined
  if (script === undefined || more.length > 0)
    throw usageError(`name a shell: ${Object.keys(scripts).join(', ')}`, 'horcrux completion bash')
  await write(script)
  return 0
}
