package authproto

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"culver/internal/tabline"
)

// LoginMinor is the minor version that our end of the client protocol
// announces: it knows CANCELLED, and that an empty resp= is a response.
const LoginMinor = 4

// maxSteps bounds the challenges of one login.
const maxSteps = 16

// Login is a connection of the client protocol (spec/auth.md 1), over which
// logins are made one after another. Its methods may be called by several
// goroutines, of which each waits for its turn.
type Login struct {
	Mechanisms []string // that the server offers, upper case, in its order
	SPID       uint32   // the server's process, the same on all of its sockets
	Cookie     string   // authorises Finish

	turn chan struct{} // holds one token
	conn net.Conn
	r    *bufio.Reader

	mu   sync.Mutex
	last uint32
	err  error // set once the connection is of no more use
}

// Attempt is one login.
type Attempt struct {
	Mechanism string
	Params    Params
	Extra     []string // further parameters, such as "secured" or "no-penalty"
	Initial   []byte   // the first response; nil: none, the server asks first
	// Respond answers a challenge; nil: there is nothing to answer, so it fails.
	Respond func(challenge []byte) ([]byte, error)
}

// Accepted is what the server says of a login that succeeded.
type Accepted struct {
	ID    uint32   // of the login; Finish takes it
	User  string   // canonical
	Args  []string // all fields as they came, user= first
	Final []byte   // the mechanism's last data, such as SCRAM's proof of the server
}

// Refused is a login that the server did not accept. Where it could not tell,
// the error is a Tempfail and not a Refused.
type Refused struct {
	Code   string   // spec/auth.md 1.5; "" for a wrong name or password
	Reason string   // what the client may know
	Args   []string // all fields as they came
}

func (r *Refused) Error() string {
	switch {
	case r.Reason != "":
		return "authentication failed: " + r.Reason
	case r.Code != "":
		return "authentication failed: " + r.Code
	}
	return "authentication failed"
}

// PlainResponse is the initial response of PLAIN (RFC 4616 section 2).
func PlainResponse(authzid, authcid, password string) []byte {
	return []byte(authzid + "\x00" + authcid + "\x00" + password)
}

// OpenLogin makes the handshake on conn, which it closes when that fails. The
// error is an ErrTempfail.
func OpenLogin(ctx context.Context, conn net.Conn) (*Login, error) {
	l := &Login{conn: conn, r: bufio.NewReaderSize(conn, MaxLoginLine), turn: make(chan struct{}, 1)}
	l.turn <- struct{}{}
	defer l.until(ctx)()
	if err := l.handshake(); err != nil {
		conn.Close()
		return nil, &Tempfail{Err: fmt.Errorf("handshake: %w", err)}
	}
	return l, nil
}

// MaxLoginLine bounds a line of the client protocol, in both directions.
const MaxLoginLine = 16384

func (l *Login) handshake() error {
	if err := l.write("VERSION", strconv.Itoa(MajorVersion), strconv.Itoa(LoginMinor)); err != nil {
		return err
	}
	if err := l.write("CPID", strconv.Itoa(os.Getpid())); err != nil {
		return err
	}
	line, err := l.line()
	if err != nil {
		return err
	}
	if err := ParseVersion(line); err != nil {
		return err
	}
	for range MaxFields {
		f, err := l.fields()
		if err != nil {
			return err
		}
		switch {
		case f[0] == "MECH" && len(f) >= 2:
			l.Mechanisms = append(l.Mechanisms, f[1])
		case f[0] == "SPID" && len(f) >= 2:
			if l.SPID, err = parseID(f[1]); err != nil {
				return err
			}
			if len(l.Mechanisms) == 0 {
				return errors.New("no mechanism before SPID: is this a client socket of auth?")
			}
		case f[0] == "COOKIE" && len(f) >= 2:
			if _, err := hex.DecodeString(f[1]); err != nil || len(f[1]) != 32 {
				return fmt.Errorf("%w: COOKIE", errLine)
			}
			l.Cookie = f[1]
		case f[0] == "DONE":
			return nil
		}
	}
	return errors.New("no end of it")
}

// Auth makes one login. The error is a *Refused or an ErrTempfail; after a
// Tempfail by the connection Login is of no more use.
func (l *Login) Auth(ctx context.Context, a Attempt) (Accepted, error) {
	var ok Accepted
	err := l.exclusive(ctx, func() error {
		var err error
		ok, err = l.auth(a)
		return err
	})
	return ok, err
}

func (l *Login) auth(a Attempt) (Accepted, error) {
	id := l.next()
	args := append([]string{"AUTH", id, strings.ToUpper(a.Mechanism)}, a.Params.fields()...)
	args = append(append(args, "final-resp-ok"), a.Extra...)
	if a.Initial != nil {
		args = append(args, "resp="+encode(a.Initial))
	}
	if err := l.write(args...); err != nil {
		return Accepted{}, err
	}
	for range maxSteps {
		f, err := l.replyTo(id)
		if err != nil {
			return Accepted{}, err
		}
		switch f[0] {
		case "OK":
			return accepted(l.last, f[2:])
		case "FAIL":
			return Accepted{}, refused(f[2:])
		case "CONT":
			if err := l.cont(id, f, a.Respond); err != nil {
				return Accepted{}, err
			}
		default:
			return Accepted{}, fmt.Errorf("unexpected reply %q", Clean(f[0]))
		}
	}
	return Accepted{}, errors.New("too many challenges")
}

// cont answers one challenge. Where there is no answer the login is called off,
// and what the server says of that is read.
func (l *Login) cont(id string, f []string, respond func([]byte) ([]byte, error)) error {
	if len(f) < 3 {
		return errLine
	}
	challenge, err := base64.StdEncoding.DecodeString(f[2])
	if err != nil {
		return fmt.Errorf("%w: challenge", errLine)
	}
	if respond == nil {
		return errors.New("a challenge where none was due")
	}
	answer, err := respond(challenge)
	if err != nil {
		return fmt.Errorf("challenge: %w", err)
	}
	return l.write("CONT", id, encode(answer))
}

func accepted(id uint32, args []string) (Accepted, error) {
	ok := Accepted{ID: id}
	for _, a := range args {
		if a == "" {
			continue // Dovecot 2.3 leaves one where it hides a field
		}
		k, v, _ := strings.Cut(a, "=")
		switch k {
		case "user":
			if ok.User == "" {
				ok.User = v
			}
		case "resp":
			var err error
			if ok.Final, err = base64.StdEncoding.DecodeString(v); err != nil {
				return Accepted{}, fmt.Errorf("%w: resp", errLine)
			}
			continue
		}
		ok.Args = append(ok.Args, a)
	}
	if !ValidUser(ok.User) {
		return Accepted{}, errors.New("reply without a usable user name")
	}
	return ok, nil
}

func refused(args []string) error {
	r := &Refused{Reason: reasonOf(args)}
	for _, a := range args {
		if a == "" {
			continue
		}
		if v, is := strings.CutPrefix(a, "code="); is {
			r.Code = v
		}
		r.Args = append(r.Args, a)
	}
	if r.Code == "temp_fail" {
		return &Tempfail{Reason: r.Reason}
	}
	return r
}

// exclusive makes f the only user of the connection; what f could not tell the
// end of is the end of the connection.
func (l *Login) exclusive(ctx context.Context, f func() error) error {
	select {
	case <-l.turn:
	case <-ctx.Done():
		return &Tempfail{Err: ctx.Err()}
	}
	defer func() { l.turn <- struct{}{} }()
	if err := l.ended(); err != nil {
		return &Tempfail{Err: err}
	}
	release := l.until(ctx)
	err := f()
	release()
	var no *Refused
	var later *Tempfail
	if err == nil || errors.As(err, &no) || errors.As(err, &later) || errors.Is(err, ErrNotFound) {
		return err
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("no answer: %w", ctx.Err())
	}
	l.end(err)
	return &Tempfail{Err: err}
}

// until makes the end of ctx the end of what is being read.
func (l *Login) until(ctx context.Context) (release func()) {
	l.conn.SetDeadline(time.Time{})
	if d, ok := ctx.Deadline(); ok {
		l.conn.SetDeadline(d)
	}
	stop := context.AfterFunc(ctx, func() { l.conn.SetDeadline(time.Unix(1, 0)) })
	return func() { stop() }
}

func (l *Login) next() string {
	l.last++
	if l.last == 0 {
		l.last = 1
	}
	return strconv.FormatUint(uint64(l.last), 10)
}

// replyTo gives the next reply to id. Others are late ones of attempts that
// were given up.
func (l *Login) replyTo(id string) ([]string, error) {
	for {
		f, err := l.fields()
		if err != nil {
			return nil, err
		}
		if len(f) < 2 {
			return nil, errLine
		}
		if f[1] == id {
			return f, nil
		}
	}
}

func (l *Login) fields() ([]string, error) {
	line, err := l.line()
	if err != nil {
		return nil, err
	}
	return split(line)
}

func (l *Login) line() (string, error) { return readLine(l.r, MaxLoginLine) }

func (l *Login) write(fields ...string) error {
	line := append(tabline.Append(nil, fields...), '\n')
	if len(line) > MaxLoginLine {
		return fmt.Errorf("request of %d bytes, want at most %d", len(line), MaxLoginLine)
	}
	_, err := l.conn.Write(line)
	return err
}

func (l *Login) ended() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *Login) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
		l.conn.Close()
	}
}

// Close ends the connection; a login under way fails as temporary.
func (l *Login) Close() error {
	l.end(net.ErrClosed)
	return nil
}

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
