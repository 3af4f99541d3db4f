package brain

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"culver/internal/authproto"
	"culver/internal/doveadmproto"
	"culver/services/doveadm/command"
)

// source gives each with every user of a run, one after the other as they
// become known; none is kept.
type source func(ctx context.Context, each func(name string) error) error

// choice is how the command line names the users; a journal keeps it.
type choice struct {
	All  bool   `json:"all,omitempty"`
	Mask string `json:"mask,omitempty"`
	File string `json:"file,omitempty"`
	User string `json:"user,omitempty"`
}

func chosen(p command.Parsed) (choice, error) {
	user := p.Value("user")
	switch {
	case p.Has("all-users"):
		return choice{All: true}, nil
	case p.Has("user-file"):
		if p.Value("user-file") == "" {
			return choice{}, usage("-F wants the name of a file, or - for standard input")
		}
		return choice{File: p.Value("user-file")}, nil
	case strings.ContainsAny(user, "*?"):
		return choice{Mask: user}, nil
	case p.Has("user"):
		return choice{User: user}, nil
	}
	if user = os.Getenv("USER"); user == "" {
		return choice{}, usage("whose mail? -u USER, -u MASK, -A for everybody's, or -F FILE")
	}
	return choice{User: user}, nil
}

func (c choice) many() bool { return c.User == "" }

// once tells whether the names can be read a single time: who counts them in a
// pipe before takes them away from the run.
func (c choice) once() bool {
	if c.File == "" || c.File == "-" {
		return c.File == "-"
	}
	info, err := os.Stat(c.File)
	return err == nil && !info.Mode().IsRegular()
}

// source opens what has to be there before a run begins.
func (c choice) source(g *Global) (source, error) {
	switch {
	case c.All, c.Mask != "":
		if g.Settings.Auth == "" {
			return nil, noSetting(g, "auth_socket_path", "-A and masks ask auth who there is")
		}
		return listed(g.Settings.Auth, c.Mask), nil
	case c.File == "-":
		return lines(g.In), nil
	case c.File != "":
		f, err := os.Open(c.File)
		if err != nil {
			return nil, fmt.Errorf("users file: %w", err)
		}
		if c.once() {
			return lines(f), nil
		}
		f.Close()
		return func(ctx context.Context, each func(string) error) error {
			f, err := os.Open(c.File)
			if err != nil {
				return err
			}
			defer f.Close()
			return lines(f)(ctx, each)
		}, nil
	}
	return func(_ context.Context, each func(string) error) error { return each(c.User) }, nil
}

// noSetting says that a setting is needed, and why it is not there.
func noSetting(g *Global, name, why string) error {
	if g.Settings.Missing != nil {
		return fmt.Errorf("%w, and %s: give -c FILE, or -o %s=VALUE", g.Settings.Missing, why, name)
	}
	return fmt.Errorf("%s is not set, and %s", name, why)
}

// listed are the users that auth knows, all or those of a mask.
func listed(socket, mask string) source {
	return func(ctx context.Context, each func(string) error) error {
		c := authproto.Client{Dial: authproto.Path(socket)}
		var own error
		err := c.List(ctx, mask, authproto.Params{Service: "doveadm"}, func(name string) error {
			own = each(name)
			return own
		})
		if own == nil && err != nil {
			err = fmt.Errorf("the list of users is not complete: %s: %w", socket, err)
		}
		return err
	}
}

// lines are the users of a file, one a line. What follows a TAB is for people,
// such as the reasons in a failed file.
func lines(r io.Reader) source {
	return func(ctx context.Context, each func(string) error) error {
		b := bufio.NewReaderSize(r, maxUserLine)
		for n := 1; ctx.Err() == nil; n++ {
			line, err := b.ReadSlice('\n')
			if errors.Is(err, bufio.ErrBufferFull) {
				return &failure{doveadmproto.DataErr, fmt.Sprintf("users file: line %d is longer than %d bytes", n, maxUserLine)}
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return fmt.Errorf("users file: %w", err)
			}
			if len(line) > 0 {
				name, _, _ := strings.Cut(strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r"), "\t")
				if err := each(name); err != nil {
					return err
				}
			}
			if err != nil {
				return nil
			}
		}
		return ctx.Err()
	}
}
