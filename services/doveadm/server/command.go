package server

import (
	"errors"
	"slices"

	"culver/internal/doveadmproto"
	"culver/services/doveadm/command"
)

// maxUser bounds a user's name (design 5).
const maxUser = 255

// command carries out one command, which came as line, and tells whether another line may follow.
// Where nobody knows whether a command's input comes next, none may: a message's
// lines would be read as commands.
func (s *session) command(cmd doveadmproto.Command, line []byte) bool {
	spec, words, err := command.Find(append([]string{cmd.Name}, cmd.Args...))
	if err != nil {
		s.answer(cmd.User, "-", "doveadm: Client sent unknown command: "+cmd.Name)
		return false
	}
	if !spec.PerUser {
		s.answer("", "-", spec.Name+" is not for a server: it runs on the host itself, by doveadm there")
		return true
	}
	p, err := spec.Parse(words)
	switch {
	case err != nil || p.Has("help"):
		s.refuse(cmd.User, doveadmproto.Usage, spec.Name+": "+reason(err))
		return !spec.Input
	case spec.Input && p.Arg("file") != "":
		s.refuse(cmd.User, doveadmproto.Usage, spec.Name+": a file is the client's to read")
		return false
	}
	r := &run{s: s, f: s.front, line: slices.Clone(line), cmd: cmd, p: p}
	if r.names, err = names(p); err != nil {
		r.fail(doveadmproto.Usage, err.Error())
	} else if text, code := s.front.permits(cmd.User, r.names); code != doveadmproto.OK {
		r.fail(code, text)
	} else if s.front.house.stopping.Load() {
		r.fail(doveadmproto.TempFail, "the server is being stopped")
	}
	return r.serve()
}

func reason(err error) string {
	if err == nil {
		return "no help over this connection"
	}
	return err.Error()
}

// names are the commands that are in a command, each once: a batch and all that
// it carries out.
func names(p command.Parsed) ([]string, error) {
	names := []string{p.Spec.Name}
	if p.Spec.Name != "batch" {
		return names, nil
	}
	all, err := p.Batch()
	for _, one := range all {
		if !slices.Contains(names, one.Spec.Name) {
			names = append(names, one.Spec.Name)
		}
	}
	return names, err
}

// permits says why a command may not be run by anybody.
func (f *Front) permits(user string, names []string) (string, int) {
	for _, name := range names {
		if len(f.Allowed) > 0 && !slices.Contains(f.Allowed, name) {
			return name + " is not in doveadm_allowed_commands", doveadmproto.NoPerm
		}
	}
	if err := checkUser(user); err != nil {
		return err.Error(), doveadmproto.NoUser
	}
	return "", doveadmproto.OK
}

// checkUser refuses names that nobody can have before the master is asked.
func checkUser(name string) error {
	if name == "" {
		return errors.New("no user was named")
	}
	if len(name) > maxUser {
		return errors.New("user name is too long")
	}
	for i := range len(name) {
		if name[i] < ' ' || name[i] == 0x7f {
			return errors.New("user name has control characters")
		}
	}
	return nil
}

// source is the other user whose mail the command takes, or "". Somebody's own
// mail needs no second worker.
func source(cmd doveadmproto.Command, p command.Parsed) string {
	from := ""
	switch p.Spec.Name {
	case "copy", "move":
		from = p.Arg("source-user")
	case "import":
		from = p.Value("source-user")
	}
	if from == cmd.User {
		return ""
	}
	return from
}

// exportArgs are what the source's worker gets.
func exportArgs(p command.Parsed) []string {
	args := []string{"--", p.Spec.Name}
	if p.Spec.Name == "import" {
		args = append(args, p.Arg("source"))
	}
	return append(args, p.All("query")...)
}
