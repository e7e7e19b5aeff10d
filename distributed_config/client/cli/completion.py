"""The command completion: what to evaluate in a shell."""

import argparse

from distributed_config.client.cli.arguments import Command
from distributed_config.client.cli.exit_codes import DONE

# Each script sends the words up to the cursor, the last one perhaps empty, and gets the words that
# fit, one on a line. Fish also gets what follows a tab: a description.
_BASH = """\
_distconf_complete() {
    local IFS=$'\\n' word=${COMP_WORDS[COMP_CWORD]}
    local -a words
    # Bash breaks words at = and :, and so do its words: the line up to the cursor is split again.
    IFS=$' \\t\\n' read -ra words <<< "${COMP_LINE:0:COMP_POINT}"
    [[ ${COMP_LINE:0:COMP_POINT} == *' ' ]] && words+=('')
    local whole=${words[${#words[@]} - 1]}
    COMPREPLY=($(distconf __complete "${words[@]:1}" 2>/dev/null | cut -f1))
    # What was typed before the break is not replaced.
    local typed=${whole%"$word"}
    COMPREPLY=("${COMPREPLY[@]#"$typed"}")
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=/] ]] && compopt -o nospace
    [[ ${#COMPREPLY[@]} -eq 0 ]] && compopt -o default
    return 0
}
complete -F _distconf_complete distconf
"""
_ZSH = """\
#compdef distconf
_distconf() {
    local -a found plain
    local line
    for line in "${(@f)$(distconf __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        [[ -n $line ]] && found+=("${line%%$'\\t'*}")
    done
    if (( $#found )); then
        plain=(${found:#*=})
        compadd -a plain
        compadd -S '' -- ${(M)found:#*=}
    else
        _files
    fi
}
if [[ $funcstack[1] == _distconf ]]; then
    _distconf "$@"
else
    compdef _distconf distconf
fi
"""
_FISH = """\
function __distconf_complete
    set -l words (commandline -opc) (commandline -ct)
    distconf __complete $words[2..-1] 2>/dev/null
end
complete -c distconf -f -a '(__distconf_complete)'
complete -c distconf -n 'test (count (__distconf_complete)) -eq 0' -F
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def _add_completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=tuple(SCRIPTS))
    parser.epilog = 'As in eval "$(distconf completion bash)", or distconf completion fish | source'


def completion(options: argparse.Namespace) -> int:
    """Print the set-up for completion in a shell."""
    print(SCRIPTS[options.shell], end="")
    return DONE


COMMANDS = {"completion": Command(completion, _add_completion, asks_server=False)}
