package brain

import (
	"context"
	"fmt"
	"strings"
	"time"

	"culver/internal/doveadmproto"
	"culver/services/doveadm/command"
	"culver/services/doveadm/format"
	"culver/services/doveadm/search"
)

// prepare checks the whole command before anybody's mail is touched.
func prepare(g Global, p command.Parsed) (*run, error) {
	c, err := chosen(p)
	if err != nil {
		return nil, err
	}
	p, query, err := fixed(p, g.Now)
	if err != nil {
		return nil, err
	}
	users, err := c.source(&g)
	if err != nil {
		return nil, err
	}
	r := &run{
		g: &g, name: p.Spec.Name, minor: p.Minor(), again: repeatable(p, query), many: c.many(),
		ordered: p.Has("ordered"), dry: p.Has("dry-run"),
		links: make(map[link]bool), stopping: make(chan struct{}),
	}
	steps := []step{{args: p.Wire()}}
	r.feed = func(ctx context.Context, each func(job) error) error {
		return users(ctx, func(name string) error { return each(job{user: name, steps: steps}) })
	}
	longest := doveadmproto.Command{User: strings.Repeat("x", 255), Name: r.name, Args: steps[0].args}
	if n := len(longest.Append(nil)); n > doveadmproto.MaxLine {
		return nil, usage(fmt.Sprintf("the command has %d bytes, want at most %d", n, doveadmproto.MaxLine))
	}
	if err := r.reach(p); err != nil {
		return nil, err
	}
	if err := r.prints(p.Columns(), p.Spec.Formatter); err != nil {
		return nil, err
	}
	if p.ReadsInput() {
		if r.input, err = newSpool(g.In, p.Arg("file")); err != nil {
			return nil, err
		}
	}
	return r, r.notes(p)
}

// fixed checks the query, and gives the command with moments for what counts
// from now.
func fixed(p command.Parsed, now time.Time) (command.Parsed, *search.Query, error) {
	env := search.Env{Now: now}
	tokens := p.All("query")
	if tokens == nil {
		return p, nil, nil
	}
	q, err := search.Parse(tokens, env)
	if err != nil {
		return p, nil, err
	}
	if p.Spec.Guarded {
		if err := q.SafeToExpunge(); err != nil {
			return p, nil, usage(err.Error())
		}
	}
	tokens, err = search.Fix(tokens, env)
	return p.With("query", tokens), q, err
}

// reach finds the server.
func (r *run) reach(p command.Parsed) error {
	s := &r.g.Settings
	address := p.Value("socket-path")
	if address == "" {
		address = s.Socket
	}
	if address == "" {
		return noSetting(r.g, "doveadm_socket_path", "the server is not named with -S")
	}
	password, err := s.password()
	if err != nil && !strings.Contains(address, "/") {
		return err
	}
	r.server, err = newServer(address, s.Username, password)
	r.workers = s.workers()
	if !r.many {
		r.workers = 1
	}
	return err
}

// prints makes stdout ready for rows of these columns.
func (r *run) prints(cols []command.Column, formatter string) error {
	if r.g.Formatter != "" {
		formatter = r.g.Formatter
	}
	if formatter == "" {
		formatter = "flow"
	}
	printer, err := format.New(formatter, r.g.Out, cols, format.Options{
		NoHeader: r.g.NoHeader, Users: r.many, Terminal: r.g.OutTerminal, Width: r.g.Width,
	})
	if err != nil {
		return usage(err.Error())
	}
	r.out = newOutput(printer, len(cols), newTurns(r.ordered, maxHeld, max(maxAhead, 4*r.workers)))
	return nil
}

// notes opens what a run writes besides its rows.
func (r *run) notes(p command.Parsed) error {
	r.tally = &tally{began: time.Now()}
	r.show = &plain{w: r.g.Err}
	if name := p.Value("failed-file"); name != "" {
		var err error
		if r.tally.failed, err = newFailedFile(name); err != nil {
			return err
		}
	}
	return nil
}
