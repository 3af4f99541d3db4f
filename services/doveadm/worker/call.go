package worker

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"culver/internal/doveadmproto"
	"culver/internal/maillog/logline"
	"culver/internal/mailstore/maildir"
	"culver/internal/mailstore/userstore"
	"culver/internal/settings/finished"
	"culver/services/doveadm/command"
	"culver/services/doveadm/search"
)

// How often the front hears of a command that works, and the worker of a front
// that has enough of it.
const (
	beatEach  = time.Second
	checkEach = 20 * time.Millisecond
	// termAfter is how old a command is when it begins to catch SIGTERM.
	termAfter = 200 * time.Millisecond
)

// call is one command.
type call struct {
	w        *Worker
	conn     *conn
	settings finished.Bag
	user     string
	verbose  bool
	local    *time.Location // see zone

	command.Parsed
	store      *maildir.Store // this user's mail
	config     maildir.Config
	mail       *maildir.Store // what queries search: store, or an import's source
	mailConfig maildir.Config
	validity   []string // what UIDVALIDITY must be, in the words of --if-uidvalidity
	rows       *doveadmproto.ReplyWriter

	begun   time.Time
	checked time.Time // whether the command is still wanted
	said    time.Time // when the front heard of us last
	touched int64     // messages
	code    int       // the worst so far, see fail
	dryRun  bool
}

// serve reads the command line, runs the command, and always ends with a
// status.
func (c *call) serve() {
	c.said = c.begun
	c.reply()
	run, err := c.read()
	if err == nil {
		err = c.open()
	}
	if err == nil {
		err = run(c)
	}
	if err != nil {
		c.fail(err)
	}
	c.close()
	c.conn.hold(doveadmproto.ChTouched, c.progress())
	c.rows.Status(doveadmproto.StatusText(c.code, doveadmproto.MinorOwn))
}

// reply begins it.
func (c *call) reply() {
	c.rows = doveadmproto.NewReplyWriter(func(b []byte) error {
		c.said = time.Now()
		return c.conn.packet(doveadmproto.ChReply, b)
	})
}

// read takes the command line and finds who carries it out.
func (c *call) read() (func(*call) error, error) {
	p, err := c.conn.in.Whole(doveadmproto.MaxLine)
	if err != nil || p.Channel != doveadmproto.ChRun {
		return nil, failed(doveadmproto.TempFail, "no command from the front: %v", err)
	}
	line, err := doveadmproto.ParseCommand(p.Data, doveadmproto.MinorOwn)
	if err != nil {
		return nil, failed(doveadmproto.Usage, "%v", err)
	}
	c.verbose = line.Verbose || line.Debug
	if line.Name == exportCommand {
		c.Parsed, err = exportSpec.Parse(line.Args)
		if err == nil {
			err = c.permitted(c.exported())
		}
		return (*call).export, usage(err)
	}
	spec, words, err := command.Find(append([]string{line.Name}, line.Args...))
	if err != nil {
		return nil, usage(err)
	}
	run := commandNamed(spec.Name)
	if run == nil {
		return nil, failed(doveadmproto.Usage, "%s is not for a user's worker", spec.Name)
	}
	if err := c.permitted(spec.Name); err != nil {
		return nil, err
	}
	c.Parsed, err = spec.Parse(words)
	c.dryRun, c.validity = c.Has("dry-run"), c.Values("if-uidvalidity")
	return run, usage(err)
}

// permitted holds a command against those that the master has given leave for: a
// front of the network may have been taken over, and its ticket was for one
// command. Without a list the front is the local one, which may ask for any.
func (c *call) permitted(name string) error {
	if list := c.settings["commands"]; list == "" || slices.Contains(strings.Split(list, "\t"), name) {
		return nil
	}
	// Into our own log as well: that front would not pass it on.
	err := failed(doveadmproto.NoPerm, "%s is not what the ticket was for", name)
	logline.Print(logline.Error, "", c.user, "refused: %v", err)
	return err
}

func usage(err error) error {
	if known := new(failure); err == nil || errors.As(err, &known) {
		return err
	}
	return failed(doveadmproto.Usage, "%v", err)
}

func (c *call) open() error {
	config, err := userstore.Config(c.settings)
	if err != nil {
		return failed(doveadmproto.TempFail, "%v", err)
	}
	config.Names = &c.w.names
	config.Warn = func(text string) { c.log(doveadmproto.LogWarning, "%s", text) }
	config.Beat = c.beat
	c.store, c.config = maildir.New(config), config
	c.mail, c.mailConfig = c.store, config
	return nil
}

func (c *call) close() {
	if c.store == nil {
		return
	}
	if c.mail != c.store {
		c.mail.Close()
	}
	c.store.Close()
}

// log writes a line for whoever asked; every line of it goes to the front's log
// too.
func (c *call) log(level byte, format string, args ...any) {
	c.rows.Flush()
	c.said = time.Now()
	c.conn.packet(doveadmproto.ChLog, doveadmproto.AppendLog(nil, level, "", fmt.Sprintf(format, args...)))
}

// fail logs an error and keeps its code: the first one, but 75 before all. A
// command over several mailboxes calls it for each that fails and goes on.
func (c *call) fail(err error) {
	c.log(doveadmproto.LogError, "%v", err)
	c.setCode(codeOf(err))
}

func (c *call) setCode(code int) {
	if c.code == doveadmproto.OK || code == doveadmproto.TempFail {
		c.code = code
	}
}

// errCancelled ends a command that nobody wants any more.
var errCancelled = errors.New("cancelled")

// step is called between messages: it tells the front that we work, shows it
// the rows there are, and returns an error when the command shall stop. Nothing
// is half done where it is called.
func (c *call) step() error {
	now := time.Now()
	if now.Sub(c.checked) < checkEach {
		return nil
	}
	c.checked = now
	if c.conn.cancelled() || c.terminated(now) {
		return c.cancel()
	}
	if err := c.rows.Row(); err != nil {
		return err
	}
	return c.beatAt(now)
}

// beat tells the front that we work, in the middle of a message.
func (c *call) beat() {
	if now := time.Now(); now.Sub(c.said) >= beatEach {
		c.beatAt(now)
	}
}

func (c *call) beatAt(now time.Time) error {
	if now.Sub(c.said) < beatEach {
		return nil
	}
	if err := c.rows.Flush(); err != nil {
		return err
	}
	c.said = now
	if c.touched > 0 {
		return c.conn.packet(doveadmproto.ChTouched, c.progress())
	}
	return c.conn.packet(doveadmproto.ChBeat, nil)
}

// progress says how far we are, which is a sign of life too.
func (c *call) progress() []byte { return strconv.AppendInt(nil, c.touched, 10) }

func (c *call) cancel() error {
	return fmt.Errorf("%w after %d messages", errCancelled, c.touched)
}

// terminated catches SIGTERM in commands that take long.
func (c *call) terminated(now time.Time) bool {
	if c.w.term == nil {
		if now.Sub(c.begun) > termAfter {
			c.w.term = make(chan os.Signal, 1)
			signal.Notify(c.w.term, syscall.SIGTERM)
		}
		return false
	}
	return len(c.w.term) > 0
}

// input reads the command's input or what another worker sends, up to its
// proper end.
type input struct {
	c    *call
	ch   byte
	data []byte
	end  bool
}

func (c *call) input(ch byte) *input { return &input{c: c, ch: ch} }

func (in *input) Read(p []byte) (int, error) {
	for len(in.data) == 0 {
		if in.end {
			return 0, io.EOF
		}
		packet, err := in.c.conn.next()
		switch {
		case err == io.EOF:
			return 0, io.ErrUnexpectedEOF
		case err != nil:
			return 0, err
		case packet.Channel == doveadmproto.ChCancel:
			return 0, in.c.cancel()
		case packet.Channel != in.ch:
			return 0, fmt.Errorf("packet on channel %q from the front, want %q", packet.Channel, in.ch)
		}
		in.data = packet.Data
		in.end = len(packet.Data) == 0 && !packet.More
		in.c.beat()
	}
	n := copy(p, in.data)
	in.data = in.data[n:]
	return n, nil
}

// failure is an error that knows its exit code.
type failure struct {
	code int
	text string
}

func (f *failure) Error() string { return f.text }

func failed(code int, format string, args ...any) error {
	return &failure{code, fmt.Sprintf(format, args...)}
}

// codeOf is the one place where an error gets its code (spec/doveadm.md 2.6).
// What is unknown is temporary.
func codeOf(err error) int {
	var known *failure
	var query *search.Error
	switch {
	case errors.As(err, &known):
		return known.code
	case errors.As(err, &query):
		return doveadmproto.Usage
	case errors.Is(err, maildir.ErrQuota):
		return doveadmproto.OverQuota
	case errors.Is(err, maildir.ErrNoFolder), errors.Is(err, maildir.ErrOutside), errors.Is(err, maildir.ErrNoQuota):
		return doveadmproto.NotFound
	case errors.Is(err, maildir.ErrName):
		return doveadmproto.Usage // as Dovecot, which calls a bad name a bad parameter
	case errors.Is(err, maildir.ErrExists), errors.Is(err, maildir.ErrNotEmpty), errors.Is(err, maildir.ErrFolder),
		errors.Is(err, maildir.ErrKeyword), errors.Is(err, maildir.ErrCompressed), errors.Is(err, maildir.ErrTooLarge):
		return doveadmproto.DataErr
	case errors.Is(err, maildir.ErrDenied):
		return doveadmproto.NoPerm
	}
	return doveadmproto.TempFail
}
