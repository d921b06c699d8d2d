#compdef invokeai-gen

_invokeai_gen_completion() {
    local line type value
    local -a plain open described ask=(invokeai-gen)
    [[ $words[1] == *python* ]] && ask=($words[1] -m invokeai_gen)
    (( $+commands[$ask[1]] )) || [[ -x $ask[1] ]] || return 1
    while IFS= read -r line; do
        type="${line%%,*}"
        value="${line#*,}"
        case "$type" in
            dir) compset -P '--*='; _path_files -/ ;;
            file) compset -P '--*='; _path_files -f ;;
            plain)
                if [[ "$value" == *$'\t'* ]]; then
                    described+=("${${value%%$'\t'*}//:/\\:}:${value#*$'\t'}")
                elif [[ "$value" == *= ]]; then
                    open+=("$value")
                else
                    plain+=("$value")
                fi ;;
        esac
    done < <(COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _INVOKEAI_GEN_COMPLETE=zsh_complete $ask 2>/dev/null)
    (( $#described )) && _describe -V unsorted described -U
    (( $#open )) && compadd -U -S '' -V unsorted -a open
    (( $#plain )) && compadd -U -V unsorted -a plain
}

_invokeai_gen_completion_python() {
    local file module=${words[3]//.//}
    local -a found
    if [[ $words[2] == -m && $CURRENT -gt 3 && -f $module.py && -f $module.json ]]; then
        _invokeai_gen_completion
        return
    fi
    if [[ $words[2] == -m && $CURRENT -eq 3 ]]; then
        for file in $module*.json(N) $module*/*.json(N); do
            [[ -f ${file:r}.py ]] && found+=(${${file:r}//\//.})
        done
        (( $#found )) && compadd -U -a found && return
    fi
    $_invokeai_gen_python
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _invokeai_gen_completion "$@"
else
    [[ $_comps[python] == _invokeai_gen_completion_python ]] || _invokeai_gen_python=${_comps[python]:-_default}
    compdef _invokeai_gen_completion_python python python3
    compdef _invokeai_gen_completion invokeai-gen
fi
