_invokeai_gen_completion() {
    local line kind value
    local -a ask=("$1")
    [[ $1 == *python* ]] && ask=("$1" -m invokeai_gen)
    COMPREPLY=()
    while IFS= read -r line; do
        kind="${line%%,*}"
        value="${line#*,}"
        case "$kind" in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain)
                [[ $value == *= ]] && compopt -o nospace
                case "${COMP_WORDS[COMP_CWORD]}" in
                    [\"\']*) COMPREPLY+=("$value") ;;
                    *) COMPREPLY+=("$(printf %q "$value")") ;;
                esac ;;
        esac
    done < <(COMP_LINE="${COMP_LINE:0:COMP_POINT}" _INVOKEAI_GEN_COMPLETE=bash_complete "${ask[@]}" 2>/dev/null)
}

_invokeai_gen_completion_python() {
    local file module="${COMP_WORDS[2]//.//}"
    if [[ ${COMP_WORDS[1]} == -m && $COMP_CWORD -gt 2 && -f $module.py && -f $module.json ]]; then
        _invokeai_gen_completion "$1"
        return
    fi
    COMPREPLY=()
    [[ -n $_invokeai_gen_python ]] && "$_invokeai_gen_python" "$@"
    if [[ ${COMP_WORDS[1]} == -m && $COMP_CWORD -eq 2 ]]; then
        for file in "$module"*.json "$module"*/*.json; do
            file="${file%.json}"
            [[ -f $file.py ]] && COMPREPLY+=("${file//\//.}")
        done
    fi
}

{ _comp_load python || __load_completion python; } >/dev/null 2>&1
if [[ "$(complete -p python 2>/dev/null)" =~ -F\ ([^ ]+) && ${BASH_REMATCH[1]} != _invokeai_gen_completion_python ]]; then
    _invokeai_gen_python="${BASH_REMATCH[1]}"
fi
complete -o default -F _invokeai_gen_completion_python python python3
complete -o nosort -F _invokeai_gen_completion invokeai-gen
