function _invokeai_gen_completion
    set -l prefix (string match -r '^--[^=]*=' -- (commandline -t))
    set -l words (commandline -opc)
    set -l ask invokeai-gen
    string match -q '*python*' -- $words[1]; and set ask $words[1] -m invokeai_gen
    for line in (COMP_WORDS=(commandline -cp) COMP_CWORD=(commandline -t) _INVOKEAI_GEN_COMPLETE=fish_complete $ask 2>/dev/null)
        set -l found (string split -m 1 , -- $line)
        switch $found[1]
            case dir
                for path in (__fish_complete_directories $found[2])
                    echo $prefix$path
                end
            case file
                for path in (__fish_complete_path $found[2])
                    echo $prefix$path
                end
            case plain
                echo $found[2]
        end
    end
end

function _invokeai_gen_completion_is_module
    set -l words (commandline -opc)
    set -l module (string replace -a . / -- $words[3])
    test (count $words) -gt 2 -a "$words[2]" = -m -a -f "$module.py" -a -f "$module.json"
end

function _invokeai_gen_completion_modules
    set -l module (string replace -a . / -- (commandline -t))
    for file in $module*.json $module*/*.json
        set -l stem (string replace -r '\.json$' '' -- $file)
        test -f $stem.py; and string replace -a / . -- $stem
    end
end

for python in python python3
    complete --no-files --command $python --condition _invokeai_gen_completion_is_module --arguments "(_invokeai_gen_completion)"
    complete --command $python --short-option m --require-parameter --arguments "(_invokeai_gen_completion_modules)"
end
complete --no-files --command invokeai-gen --arguments "(_invokeai_gen_completion)"
