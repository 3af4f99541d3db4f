package operate

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"culver/services/doveadm/command"
	"culver/services/doveadm/format"
)

// completion prints a script that makes a shell complete commands, options and
// the words that are known here. The table is in the script: pressing a key
// starts no program.
func (o *operation) completion() error {
	write := map[string]func(io.Writer){"bash": bash, "zsh": zsh, "fish": fish}[o.p.Arg("shell")]
	if write == nil {
		return failed(exitUsage, "completion is for bash, zsh and fish, not %s", command.Quote(o.p.Arg("shell")))
	}
	write(o.Out)
	return nil
}

// globalOptions are those before the command's name.
var globalOptions = []command.Option{
	{Letter: 'D', Help: "print debug lines"},
	{Letter: 'v', Help: "say more"},
	{Letter: 'f', Value: "format", Help: "how rows are printed"},
	{Letter: 'h', Help: "no titles"},
	{Letter: 'c', Value: "file", Help: "the configuration"},
	{Letter: 'o', Value: "setting=value", Help: "overrule a setting"},
	{Long: "as", Value: "name", Help: "log in as this master user"},
	{Long: "password-file", Value: "file", Help: "where its password is"},
	{Long: "password-command", Value: "command", Help: "what prints its password"},
	{Long: "help", Help: "list the commands"},
	{Long: "version", Help: "print the version"},
}

// next gives the words that can follow the first words of a name: the second
// words of a group.
func next(prefix string) []string {
	var all []string
	for _, s := range command.Table() {
		rest, ok := strings.CutPrefix(s.Name, prefix)
		if prefix != "" {
			rest, ok = strings.CutPrefix(s.Name, prefix+" ")
		}
		if word, _, _ := strings.Cut(rest, " "); ok && word != "" && !slices.Contains(all, word) {
			all = append(all, word)
		}
	}
	slices.Sort(all)
	return all
}

// prefixes are the beginnings of names that are no names themselves.
func prefixes() []string {
	all := []string{""}
	for _, s := range command.Table() {
		for i, r := range s.Name {
			if r == ' ' && !slices.Contains(all, s.Name[:i]) {
				all = append(all, s.Name[:i])
			}
		}
	}
	return all
}

func optionWords(s *command.Spec) []string {
	var all []string
	for _, o := range s.AllOptions() {
		if o.Letter != 0 {
			all = append(all, "-"+string(o.Letter))
		}
		all = append(all, "--"+o.Long)
	}
	return append(all, "--help")
}

// argWords are words that the arguments of a command may be.
func argWords(s *command.Spec) []string {
	switch s.Name {
	case "completion":
		return []string{"bash", "zsh", "fish"}
	case "mailbox status":
		return append([]string{"all"}, command.StatusItems()...)
	case "help":
		return next("")
	}
	if n := len(s.Args); n > 0 && s.Args[n-1].Name == "query" {
		return queryWords
	}
	return nil
}

// queryWords are the keys of queries (spec/doveadm.md 5.2) that have a use here.
var queryWords = strings.Fields("all answered bcc before body cc deleted draft flagged from guid header inthread keyword larger " +
	"mailbox mailbox-guid new not old older on or recent savedbefore savedon savedsince seen sentbefore senton sentsince since " +
	"smaller subject text to uid unanswered undeleted undraft unflagged unkeyword unseen younger")

// bash writes a script that needs bash alone. It reads the words before the one
// being typed as doveadm does: options aside, the name is the longest that fits.
func bash(w io.Writer) {
	fmt.Fprint(w, `# bash completion for culver-doveadm; source it, or put it into
# /usr/share/bash-completion/completions/culver-doveadm
_culver_doveadm() {
    local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" name="" i word words=""
    for ((i = 1; i < COMP_CWORD; i++)); do
        word="${COMP_WORDS[i]}"
        case "$word" in
        -f | -c | -o | -u | -F | -S) ((i++)); continue ;;
        -*) continue ;;
        esac
        case " $(_culver_doveadm_next "$name") " in
        *" $word "*) name="${name:+$name }$word" ;;
        *) break ;;
        esac
    done
    COMPREPLY=()
    case "$prev" in
`)
	fmt.Fprintf(w, "    -f) [ -n \"$name\" ] || { COMPREPLY=($(compgen -W %s -- \"$cur\")); return; } ;;\n", quote(strings.Join(format.Names(), " ")))
	fmt.Fprint(w, `    -c | -F | --user-file | --failed-file | --journal | --plan) COMPREPLY=($(compgen -f -- "$cur")); return ;;
    esac
    case "$cur" in
    -*) words="$(_culver_doveadm_options "$name")" ;;
    *) words="$(_culver_doveadm_next "$name")"; [ -n "$words" ] || words="$(_culver_doveadm_words "$name")" ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
    case "$name" in
    save | apply | resume) COMPREPLY+=($(compgen -f -- "$cur")) ;;
    esac
}
_culver_doveadm_next() {
    case "$1" in
`)
	for _, p := range prefixes() {
		fmt.Fprintf(w, "    %s) echo %s ;;\n", quote(p), quote(strings.Join(next(p), " ")))
	}
	fmt.Fprint(w, "    esac\n}\n_culver_doveadm_options() {\n    case \"$1\" in\n    '') echo '-D -v -f -h -c -o --help --version' ;;\n")
	for _, s := range command.Table() {
		fmt.Fprintf(w, "    %s) echo %s ;;\n", quote(s.Name), quote(strings.Join(optionWords(&s), " ")))
	}
	fmt.Fprint(w, "    esac\n}\n_culver_doveadm_words() {\n    case \"$1\" in\n")
	for _, s := range command.Table() {
		if words := argWords(&s); len(words) > 0 {
			fmt.Fprintf(w, "    %s) echo %s ;;\n", quote(s.Name), quote(strings.Join(words, " ")))
		}
	}
	fmt.Fprint(w, "    esac\n}\ncomplete -F _culver_doveadm culver-doveadm\n")
}

// zsh uses the script for bash: zsh's own bashcompinit understands it. Where zsh
// found the file by itself, the first key that it reads it for completes too.
func zsh(w io.Writer) {
	fmt.Fprint(w, "#compdef culver-doveadm\n# zsh completion for culver-doveadm: _culver-doveadm in a directory of fpath, or\n"+
		"# sourced after compinit.\nautoload -U +X bashcompinit && bashcompinit\n")
	bash(w)
	fmt.Fprint(w, "[[ $funcstack[1] != _culver-doveadm ]] || _bash_complete -F _culver_doveadm\n")
}

// fish writes a line for each word and option.
func fish(w io.Writer) {
	fmt.Fprint(w, `# fish completion for culver-doveadm; put it into ~/.config/fish/completions/culver-doveadm.fish
function __culver_doveadm_name
    set -l name
    set -l words (commandline -opc)
    set -e words[1]
    set -l skip 0
    for word in $words
        if test $skip = 1
            set skip 0
            continue
        end
        switch $word
            case -f -c -o -u -F -S
                set skip 1
            case '-*'
            case '*'
                set -a name $word
        end
    end
    string join ' ' $name
end
function __culver_doveadm_at
    set -l name (__culver_doveadm_name)
    test "$name" = "$argv[1]"
end
function __culver_doveadm_in
    set -l name (__culver_doveadm_name)
    test "$name" = "$argv[1]"; or string match -q -- "$argv[1] *" "$name"
end
complete -c culver-doveadm -f
`)
	for _, o := range globalOptions {
		fmt.Fprintf(w, "complete -c culver-doveadm -n '__culver_doveadm_at \"\"' %s\n", fishOption(o))
	}
	help := map[string]string{}
	for _, s := range command.Table() {
		help[s.Name] = s.Help
	}
	for _, p := range prefixes() {
		for _, word := range next(p) {
			full := strings.TrimPrefix(p+" "+word, " ")
			fmt.Fprintf(w, "complete -c culver-doveadm -n '__culver_doveadm_at \"%s\"' -a %s -d %s\n", p, word, quote(help[full]))
		}
	}
	for _, s := range command.Table() {
		for _, o := range s.AllOptions() {
			fmt.Fprintf(w, "complete -c culver-doveadm -n '__culver_doveadm_in \"%s\"' %s\n", s.Name, fishOption(o))
		}
		if words := argWords(&s); len(words) > 0 {
			fmt.Fprintf(w, "complete -c culver-doveadm -n '__culver_doveadm_in \"%s\"' -a %s\n", s.Name, quote(strings.Join(words, " ")))
		}
	}
}

func fishOption(o command.Option) string {
	var f []string
	if o.Letter != 0 {
		f = append(f, "-s "+string(o.Letter))
	}
	if o.Long != "" {
		f = append(f, "-l "+o.Long)
	}
	switch {
	case o.Value == "file":
		f = append(f, "-r -F")
	case o.Value == "format":
		f = append(f, "-x -a "+quote(strings.Join(format.Names(), " ")))
	case o.Value != "":
		f = append(f, "-x")
	}
	return strings.Join(append(f, "-d "+quote(o.Help)), " ")
}

// quote is for all three shells: what is inside has no single quote.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "’") + "'" }
