package brain

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"culver/internal/authproto"
	"culver/internal/doveadmproto"
	"culver/services/doveadm/command"
	"culver/services/doveadm/search"
)

// A plan is NDJSON: planHeader, then a planLine for each mailbox of a user, or
// several where its UIDs are many.

// planHeader says what is to be done with the messages.
type planHeader struct {
	Plan        int    `json:"doveadm-plan"` // its version
	Command     string `json:"command"`      // expunge or move
	Destination string `json:"destination,omitempty"`
	Made        string `json:"made"`
}

const planVersion = 1

// planLine names messages of one mailbox.
type planLine struct {
	User        string `json:"user"`
	Mailbox     string `json:"mailbox"`
	GUID        string `json:"mailbox-guid"`
	UIDValidity uint32 `json:"uidvalidity"`
	UIDs        string `json:"uids"`
}

// planned gathers one user's part of a plan from the rows of a dry run.
type planned struct {
	lines []planLine
	set   []byte // of the last line, without its last range
	lo    uint32 // the last range
	hi    uint32
	bytes int
}

func (p *planned) add(cells [dryCells][]byte) error {
	validity, err1 := strconv.ParseUint(string(cells[dryValidity]), 10, 32)
	uid, err2 := strconv.ParseUint(string(cells[dryUID]), 10, 32)
	if err := errors.Join(err1, err2); err != nil || uid == 0 {
		return fmt.Errorf("the server's dry run names no message (uid %q, uidvalidity %q)", cells[dryUID], cells[dryValidity])
	}
	mailbox, guid := string(cells[dryMailbox]), string(cells[dryGUID])
	if !utf8.ValidString(mailbox) || !isGUID(guid) {
		return fmt.Errorf("the server's dry run names no mailbox (%q, guid %q)", mailbox, guid)
	}
	last := len(p.lines) - 1
	if last < 0 || p.lines[last].Mailbox != mailbox || p.lines[last].GUID != guid ||
		p.lines[last].UIDValidity != uint32(validity) || len(p.set) > maxSet-32 {
		p.end()
		p.lines = append(p.lines, planLine{Mailbox: mailbox, GUID: guid, UIDValidity: uint32(validity)})
		if p.bytes += len(mailbox) + 128; p.bytes > maxPlanned {
			return fmt.Errorf("the plan for one user is larger than %d bytes", maxPlanned)
		}
	}
	if p.lo != 0 && uint32(uid) == p.hi+1 {
		p.hi = uint32(uid)
		return nil
	}
	p.closeRange()
	p.lo, p.hi = uint32(uid), uint32(uid)
	return nil
}

func (p *planned) closeRange() {
	if p.lo == 0 {
		return
	}
	if len(p.set) > 0 {
		p.set = append(p.set, ',')
	}
	p.set = strconv.AppendUint(p.set, uint64(p.lo), 10)
	if p.hi > p.lo {
		p.set = strconv.AppendUint(append(p.set, ':'), uint64(p.hi), 10)
	}
	p.lo, p.hi = 0, 0
}

// end completes the last line.
func (p *planned) end() {
	if len(p.lines) == 0 {
		return
	}
	p.closeRange()
	p.lines[len(p.lines)-1].UIDs = string(p.set)
	p.bytes += len(p.set)
	p.set = p.set[:0]
}

func isGUID(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) == 32
}

// planWriter writes a plan, a user's lines together. A nil one is none.
type planWriter struct {
	mu  sync.Mutex
	f   *os.File
	w   *bufio.Writer
	err error
}

func newPlan(name string, p command.Parsed, made time.Time) (*planWriter, error) {
	switch {
	case p.Arg("source-user") != "":
		return nil, usage("--plan is for the mail of the user that -u names, not of another one")
	case p.Has("delete-empty-mailbox"):
		return nil, usage("--plan knows messages only: leave -d out")
	}
	f, err := createOwn(name)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	w := &planWriter{f: f, w: bufio.NewWriter(f)}
	h := planHeader{planVersion, p.Spec.Name, p.Arg("destination"), made.UTC().Format(time.RFC3339)}
	return w, w.json(h)
}

func (w *planWriter) json(v any) error {
	line, err := json.Marshal(v)
	if err == nil {
		_, err = w.w.Write(append(line, '\n'))
	}
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("plan: %w", err)
	}
	return w.err
}

// user adds what is planned for a user.
func (w *planWriter) user(name string, p *planned) error {
	p.end()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, line := range p.lines {
		line.User = name
		if err := w.json(line); err != nil {
			return err
		}
	}
	return nil
}

func (w *planWriter) close() error {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, step := range []func() error{w.w.Flush, w.f.Sync, w.f.Close} {
		if err := step(); err != nil && w.err == nil {
			w.err = fmt.Errorf("plan: %w", err)
		}
	}
	return w.err
}

// planReader reads a plan line by line.
type planReader struct {
	b    *bufio.Reader
	n    int
	head planHeader
}

func newPlanReader(r io.Reader) (*planReader, error) {
	p := &planReader{b: bufio.NewReaderSize(r, maxPlanLine)}
	if err := p.line(&p.head); err == io.EOF {
		return nil, p.bad("there is no header")
	} else if err != nil {
		return nil, err
	}
	switch {
	case p.head.Plan == 0:
		return nil, p.bad("this is not the header of a plan")
	case p.head.Plan != planVersion:
		return nil, p.bad(fmt.Sprintf("version %d of plans is not known", p.head.Plan))
	case p.head.Command != "expunge" && p.head.Command != "move",
		(p.head.Command == "move") != (p.head.Destination != ""):
		return nil, p.bad("a plan is of expunge, or of move with its destination")
	}
	return p, nil
}

func (p *planReader) bad(what string) error {
	return &failure{doveadmproto.DataErr, fmt.Sprintf("plan: line %d: %s", p.n, what)}
}

// line reads one line. A last one that is cut off is an error: a plan is whole.
func (p *planReader) line(v any) error {
	line, err := p.b.ReadSlice('\n')
	p.n++
	switch {
	case err == io.EOF && len(line) == 0:
		return io.EOF
	case err == bufio.ErrBufferFull:
		return p.bad("it is too long")
	case err == io.EOF:
		return p.bad("it is cut off")
	case err != nil:
		return fmt.Errorf("plan: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return p.bad(err.Error())
	}
	return nil
}

// next reads what is to be done in one mailbox.
func (p *planReader) next() (user string, s step, err error) {
	var l planLine
	if err := p.line(&l); err != nil {
		return "", s, err
	}
	switch {
	case !authproto.ValidUser(l.User):
		return "", s, p.bad("user is no user name")
	case l.Mailbox == "" || !isGUID(l.GUID) || len(l.UIDs) > maxSet:
		return "", s, p.bad("it names no mailbox")
	}
	q, err := search.Parse([]string{"UID", l.UIDs}, search.Env{})
	if err != nil {
		return "", s, p.bad("uids is no set of UIDs")
	}
	for _, r := range q.Root.Set {
		if r.Lo == search.Star || r.Hi == search.Star {
			return "", s, p.bad("uids is not a fixed set of UIDs")
		}
		s.planned += int64(r.Hi) - int64(r.Lo) + 1
	}
	words := []string{"--if-uidvalidity", strconv.FormatUint(uint64(l.UIDValidity), 10), "--"}
	if p.head.Command == "move" {
		words = append(words, p.head.Destination)
	}
	words = append(words, "mailbox", l.Mailbox, "mailbox-guid", l.GUID, "uid", l.UIDs)
	parsed, err := planSpec(p.head).Parse(words)
	if err != nil {
		return "", s, p.bad(err.Error())
	}
	s.args = parsed.Wire()
	return l.User, s, nil
}

func planSpec(h planHeader) *command.Spec {
	spec, _, err := command.Find([]string{h.Command})
	if err != nil {
		panic("a command of plans is not in the table: " + err.Error())
	}
	return spec
}

// planFeed gives a plan's users, each with all that is to be done for him: lines
// of one user stand together.
func planFeed(name string) feed {
	return func(ctx context.Context, each func(job) error) error {
		f, err := openOwn(name, os.O_RDONLY)
		if err != nil {
			return fmt.Errorf("plan: %w", err)
		}
		defer f.Close()
		p, err := newPlanReader(f)
		if err != nil {
			return err
		}
		var j job
		for ctx.Err() == nil {
			user, s, err := p.next()
			if err != nil && err != io.EOF {
				return err
			}
			if len(j.steps) > 0 && (err == io.EOF || user != j.user) {
				if err := each(j); err != nil {
					return err
				}
				j = job{}
			}
			if err == io.EOF {
				return nil
			}
			j.user = user
			j.steps = append(j.steps, s)
		}
		return ctx.Err()
	}
}

// checkPlan reads a plan whole before anybody's mail is touched.
func checkPlan(name string) (planHeader, error) {
	f, err := openOwn(name, os.O_RDONLY)
	if err != nil {
		return planHeader{}, fmt.Errorf("plan: %w", err)
	}
	defer f.Close()
	p, err := newPlanReader(f)
	if err != nil {
		return planHeader{}, err
	}
	for {
		if _, _, err := p.next(); err == io.EOF {
			return p.head, nil
		} else if err != nil {
			return planHeader{}, err
		}
	}
}
