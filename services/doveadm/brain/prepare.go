package brain

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"time"

	"culver/internal/backend"
	"culver/internal/doveadmproto"
	"culver/services/doveadm/command"
	"culver/services/doveadm/format"
	"culver/services/doveadm/search"
)

// order is what a run is to do: from a command line, or from a journal.
type order struct {
	p       command.Parsed // moments stand for what counts from now
	query   *search.Query
	users   choice
	server  string
	ordered bool
	plan    *digest // apply
	input   *digest // save from a file

	failedFile, progress string
	journal              *journal
	past                 *past
}

// prepare checks the whole command before anybody's mail is touched.
func prepare(ctx context.Context, g Global, p command.Parsed) (*run, error) {
	switch p.Value("progress") {
	case "", "auto", "none", "ndjson":
	default:
		return nil, usage("--progress is auto, none or ndjson")
	}
	o := order{
		p: p, server: p.Value("socket-path"), ordered: p.Has("ordered"),
		failedFile: p.Value("failed-file"), progress: p.Value("progress"),
	}
	var err error
	switch p.Spec.Name {
	case "resume":
		err = o.resumed(p.Arg("journal"), g.Now)
	case "apply":
		if o.plan, err = digestOf(p.Arg("plan")); err != nil {
			err = fmt.Errorf("plan: %w", err)
		}
	default:
		if o.users, err = chosen(p); err == nil {
			o.p, o.query, err = fixed(p, g.Now)
		}
	}
	if err != nil {
		return nil, err
	}
	if g.Login, err = g.Login.over(p); err != nil {
		return nil, err
	}
	r, err := o.build(ctx, &g)
	if err != nil {
		return nil, err
	}
	// A server that is not there leaves no half made files behind: least of all
	// an empty failed file in the place of one that has users.
	for _, step := range []func() error{
		func() error { return o.read(r) },
		func() error { return r.connect(ctx) },
		func() error { return o.open(r, p) },
	} {
		if err := step(); err != nil {
			r.close()
			return nil, err
		}
	}
	return r, nil
}

// resumed takes a journal's order.
func (o *order) resumed(name string, now time.Time) error {
	j, h, past, err := resumeJournal(name)
	if err != nil {
		return err
	}
	bad := func(err error) error {
		j.close()
		return fmt.Errorf("journal %s: %w", name, err)
	}
	o.journal, o.past = j, past
	spec, rest, err := command.Find([]string{h.Command})
	if err != nil || len(rest) > 0 || !spec.PerUser && spec.Name != "apply" {
		return bad(fmt.Errorf("command %q is not one for users", h.Command))
	}
	if o.p, err = spec.Parse(h.Args); err != nil {
		return bad(err)
	}
	if o.p, o.query, err = fixed(o.p, now); err != nil {
		return bad(err)
	}
	for _, d := range []*digest{h.Input, h.Plan} {
		if d == nil {
			continue
		}
		if err := d.same(); err != nil {
			return bad(err)
		}
	}
	o.users, o.ordered, o.plan, o.input = h.Users, h.Ordered, h.Plan, h.Input
	if (o.plan != nil) != (spec.Name == "apply") || o.p.ReadsInput() && o.input == nil {
		return bad(fmt.Errorf("the header lacks a file"))
	}
	if o.server == "" {
		o.server = h.Server
	}
	return nil
}

// build makes the run, and touches nothing.
func (o *order) build(ctx context.Context, g *Global) (*run, error) {
	r := &run{
		g: g, name: o.p.Spec.Name, minor: o.p.Minor(), again: repeatable(o.p, o.query), many: o.users.many(),
		ordered: o.ordered, dry: o.p.Has("dry-run"), past: o.past,
		tally: &tally{began: time.Now()},
		links: make(map[link]bool), begun: make(map[int64]string), stopping: make(chan struct{}),
	}
	spec := o.p.Spec
	if o.plan != nil {
		head, err := checkPlan(o.plan.File)
		if err != nil {
			return nil, err
		}
		r.feed, r.name, r.again, r.many = planFeed(o.plan.File), head.Command, true, true
		spec = planSpec(head)
	} else {
		users, err := o.users.source(g)
		if err != nil {
			return nil, err
		}
		steps := []step{{args: o.p.Wire()}}
		r.steps = steps
		r.feed = func(ctx context.Context, each func(job) error) error {
			return users(ctx, func(name string) error { return each(job{user: name, steps: steps}) })
		}
		longest := doveadmproto.Command{User: strings.Repeat("x", 255), Name: r.name, Args: steps[0].args}
		if n := len(longest.Append(nil)); n > doveadmproto.MaxLine {
			return nil, usage(fmt.Sprintf("the command has %d bytes, want at most %d", n, doveadmproto.MaxLine))
		}
	}
	if err := o.reach(ctx, r); err != nil {
		return nil, err
	}
	columns, formatter := o.p.Columns(), spec.Formatter
	if o.plan != nil {
		columns = nil
	}
	return r, r.prints(columns, formatter)
}

// read takes the input that goes to every user.
func (o *order) read(r *run) (err error) {
	if !o.p.ReadsInput() {
		return nil
	}
	name := o.p.Arg("file")
	if o.input != nil {
		name = o.input.File
	}
	if r.input, err = newSpool(r.g.In, name); err != nil {
		return err
	}
	if name != "" && o.input == nil {
		name, err = filepath.Abs(name)
		o.input = &digest{name, r.input.sum}
	}
	return err
}

// open makes what a run writes besides its rows.
func (o *order) open(r *run, p command.Parsed) error {
	var err error
	if name := o.failedFile; name != "" {
		if r.tally.failed, err = newFailedFile(name); err != nil {
			return err
		}
	}
	if name := o.p.Value("plan"); name != "" && o.plan == nil {
		if r.plan, err = newPlan(name, o.p, r.g.Now); err != nil {
			return err
		}
	}
	r.journal = o.journal
	if name := p.Value("journal"); name != "" && r.journal == nil {
		if r.journal, err = o.newJournal(name, r); err != nil {
			return err
		}
	}
	r.show = newDisplay(r.g, o.progress, r.many, o.p.Columns() != nil)
	if _, quiet := r.show.(*plain); !quiet && r.many && !o.users.once() {
		r.count = func(ctx context.Context) (n int64, err error) {
			err = r.feed(ctx, func(job) error { n++; return nil })
			return n, err
		}
	}
	return nil
}

// newJournal begins the journal of this order.
func (o *order) newJournal(name string, r *run) (*journal, error) {
	switch {
	case o.users.once():
		return nil, usage("a run over users from standard input or a pipe cannot be resumed: put them in a file for -F")
	case o.p.ReadsInput() && o.input == nil:
		return nil, usage("save from standard input cannot be resumed: name a file")
	case r.plan != nil:
		return nil, usage("a dry run needs no journal")
	}
	h := header{
		Command: o.p.Spec.Name, Args: o.p.Wire(), Users: o.users, Server: o.server, Ordered: o.ordered,
		Input: o.input, Plan: o.plan,
	}
	if o.plan != nil {
		h.Args = []string{o.plan.File}
	}
	if h.Users.File != "" {
		var err error
		if h.Users.File, err = filepath.Abs(h.Users.File); err != nil {
			return nil, err
		}
	}
	return newJournal(name, h)
}

// fixed checks the query, and gives the command with moments for what counts
// from now.
func fixed(p command.Parsed, now time.Time) (command.Parsed, *search.Query, error) {
	if p.Spec.Name == "batch" {
		return fixedBatch(p, now)
	}
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

// fixedBatch does so for each command of a batch.
func fixedBatch(p command.Parsed, now time.Time) (command.Parsed, *search.Query, error) {
	all, err := p.Batch()
	if err != nil {
		return p, nil, err
	}
	var words []string
	for i, one := range all {
		if one, _, err = fixed(one, now); err != nil {
			return p, nil, err
		}
		if i > 0 {
			words = append(words, p.Arg("separator"))
		}
		words = append(append(words, strings.Fields(one.Spec.Name)...), one.Wire()...)
	}
	return p.With("commands", words), nil, nil
}

// reach finds the server, and how to find others.
func (o *order) reach(ctx context.Context, r *run) error {
	s := &r.g.Settings
	at := backend.Target{Address: cmp.Or(o.server, s.Socket)}
	if at.Address == "" {
		return noSetting(r.g, "doveadm_socket_path", "the server is not named with -S")
	}
	local := strings.Contains(at.Address, "/")
	var err error
	if !local {
		if at.Host, _, err = net.SplitHostPort(at.Address); err != nil {
			return usage(fmt.Sprintf("server %q has no port: want HOST:PORT, or the path of a socket with a slash", at.Address))
		}
		if at.Protection, err = secureOf(s.Security); err != nil {
			return err
		}
	}
	who := &access{user: s.Username, inClear: s.InClear, authorities: s.Authorities}
	if l := r.g.Login; l.As != "" {
		who.user, who.named = l.As, true
		if who.password, err = l.password(ctx, r.g.Err); err != nil {
			return err
		}
	} else if who.password, err = s.password(); err != nil && (!local || s.Port > 0) {
		return err
	}
	r.who = who.user
	open := func(at backend.Target) (*lane, error) {
		server := newServer(who, at, r.minor)
		if r.g.dial != nil {
			server.dial = r.g.dial(server.dial)
		}
		workers := s.workers(at)
		if !r.many {
			workers = 1
		}
		return r.newLane(server, workers), nil
	}
	r.sites = sites{open: open, named: s.Servers}
	if r.first, err = open(at); err != nil {
		return err
	}
	// -S says where everybody is.
	if s.Port > 0 && o.server == "" {
		if s.Auth == "" {
			return noSetting(r.g, "auth_socket_path", "doveadm_port has auth asked where users are")
		}
		r.router = &router{lookup: passdb(s.Auth), port: uint16(s.Port)}
		if r.router.secure, err = secureOf(s.Security); err != nil {
			return err
		}
	}
	return nil
}

// prints makes stdout ready for rows of these columns.
func (r *run) prints(cols []command.Column, formatter string) error {
	if r.g.Formatter != "" {
		formatter = r.g.Formatter
	}
	if formatter == "" {
		formatter = "flow"
	}
	out := r.g.Out
	if len(cols) == 0 {
		out = io.Discard // json would print an empty array
	}
	printer, err := format.New(formatter, out, cols, format.Options{
		NoHeader: r.g.NoHeader, Users: r.many, Terminal: r.g.OutTerminal, Width: r.g.Width,
	})
	if err != nil {
		return err
	}
	r.out = newOutput(printer, len(cols), newTurns(r.ordered, newRoom(r.first.workers), max(maxAhead, 4*r.first.workers)))
	return nil
}
