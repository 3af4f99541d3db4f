package authproto

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"culver/internal/tabline"
)

// errGone says that the connection ended before the answer came.
var errGone = errors.New("connection to auth lost")

// reply is one line of the server, or the end of the connection.
type reply struct {
	verb string
	args []string // after the id
	err  error
}

// link is one connection after its handshake. Lookups in any number share it
// by their ids.
type link struct {
	conn net.Conn
	r    *bufio.Reader
	spid uint32 // the server's process

	write sync.Mutex // one line at a time

	mu      sync.Mutex
	last    uint32
	wrapped bool
	pending map[uint32]func(reply)
	err     error // set when the link has ended
}

// newLink says VERSION and waits for the server's VERSION and SPID.
func newLink(ctx context.Context, conn net.Conn) (*link, error) {
	l := &link{conn: conn, r: bufio.NewReaderSize(conn, MaxReply), pending: map[uint32]func(reply){}}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	hello := "VERSION\t" + strconv.Itoa(MajorVersion) + "\t" + strconv.Itoa(MinorVersion) + "\n"
	if _, err := io.WriteString(conn, hello); err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	line, err := l.line()
	if err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	if err := ParseVersion(line); err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	if line, err = l.line(); err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	// A client socket says MECH and CUID here.
	f, err := split(line)
	if err != nil || len(f) != 2 || f[0] != "SPID" {
		return nil, errors.New("handshake: no SPID: is this a userdb or master socket of auth?")
	}
	if l.spid, err = parseID(f[1]); err != nil {
		return nil, fmt.Errorf("handshake: SPID: %w", err)
	}
	if !stop() {
		return nil, fmt.Errorf("handshake: %w", ctx.Err())
	}
	return l, nil
}

// line reads one line without its LF.
func (l *link) line() (string, error) { return readLine(l.r, MaxReply) }

// readLine reads a line without its LF from a reader of limit bytes.
func readLine(r *bufio.Reader, limit int) (string, error) {
	p, err := r.ReadSlice('\n')
	switch {
	case err == nil:
		return string(p[:len(p)-1]), nil
	case errors.Is(err, bufio.ErrBufferFull):
		return "", fmt.Errorf("line from auth is longer than %d bytes", limit)
	case errors.Is(err, io.EOF):
		return "", errGone
	}
	return "", err
}

// read hands replies to those who wait for them until the connection ends.
func (l *link) read() {
	for {
		line, err := l.line()
		if err == nil {
			err = l.dispatch(line)
		}
		if err != nil {
			l.end(err)
			return
		}
	}
}

// dispatch routes one line. A reply that nobody waits for any more is dropped;
// one to an id that was never given means that the two ends disagree on what
// was asked, and then no answer on this connection can be believed.
func (l *link) dispatch(line string) error {
	f, err := split(line)
	if err != nil {
		return err
	}
	if len(f) < 2 {
		return errLine
	}
	id, err := parseID(f[1])
	if err != nil {
		return err
	}
	l.mu.Lock()
	known := id != 0 && (id <= l.last || l.wrapped)
	to := l.pending[id]
	if f[0] != "LIST" {
		delete(l.pending, id)
	}
	l.mu.Unlock()
	if !known {
		return fmt.Errorf("reply to request %d, which was never made", id)
	}
	if to != nil {
		to(reply{verb: f[0], args: f[2:]})
	}
	return nil
}

// end fails everybody who waits. It is the only place that closes conn.
func (l *link) end(err error) {
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return
	}
	l.err = err
	waiting := l.pending
	l.pending = nil
	l.mu.Unlock()
	l.conn.Close()
	for _, to := range waiting {
		to(reply{err: err})
	}
}

func (l *link) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err != nil
}

// send writes one request; to gets its replies, each exactly once, from the
// reading goroutine, which it must not hold up.
func (l *link) send(deadline time.Time, to func(reply), command string, args ...string) (uint32, error) {
	id, err := l.register(to)
	if err != nil {
		return 0, err
	}
	line := tabline.Append(nil, command, strconv.FormatUint(uint64(id), 10))
	for _, a := range args {
		line = append(line, '\t')
		line = tabline.Append(line, a)
	}
	line = append(line, '\n')
	if len(line) > MaxRequest {
		l.forget(id)
		return 0, fmt.Errorf("request of %d bytes, want at most %d", len(line), MaxRequest)
	}
	l.write.Lock()
	defer l.write.Unlock()
	l.conn.SetWriteDeadline(deadline)
	if _, err := l.conn.Write(line); err != nil {
		// A part may be out, so nothing more can follow on this connection.
		l.end(fmt.Errorf("%w: %v", errGone, err))
	}
	return id, nil
}

func (l *link) register(to func(reply)) (uint32, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return 0, l.err
	}
	for {
		l.last++
		if l.last == 0 {
			l.wrapped = true
			continue
		}
		if _, taken := l.pending[l.last]; !taken {
			l.pending[l.last] = to
			return l.last, nil
		}
	}
}

func (l *link) forget(id uint32) {
	l.mu.Lock()
	delete(l.pending, id)
	l.mu.Unlock()
}
