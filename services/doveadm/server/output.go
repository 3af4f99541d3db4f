package server

import (
	"bufio"
	"io"
	"strconv"
	"sync"
	"sync/atomic"

	"culver/internal/doveadmproto"
)

// output is the client's side of the wire after the handshake, in the form that
// its minor wants. It may be written by several goroutines.
type output struct {
	minor int
	waits *atomic.Int32 // writes and reads under way that only the client can end

	mu   sync.Mutex
	w    *bufio.Writer
	logs bool // log lines are wanted
	own  bool // the client is of our kind
	err  error
}

func newOutput(w io.Writer, minor int, waits *atomic.Int32) *output {
	return &output{minor: minor, waits: waits, w: bufio.NewWriterSize(w, doveadmproto.MaxPacket+64),
		logs: minor > doveadmproto.MinorRaw && minor < doveadmproto.MinorNoColumn}
}

// option turns on what the client asks for. Unknown words are ignored, as the
// protocol wants.
func (o *output) option(words []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, w := range words {
		switch w {
		case doveadmproto.OptionLog:
			o.logs = o.minor > doveadmproto.MinorRaw
		case doveadmproto.OptionOwn:
			o.own = true
		}
	}
}

// kin tells whether the client is of our kind.
func (o *output) kin() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.own
}

// reply adds a piece of the reply stream.
func (o *output) reply(b []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.packet(doveadmproto.ChReply, b)
}

// log adds a message for the client, if it wants any.
func (o *output) log(level byte, prefix, text string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.logs {
		return o.err
	}
	return o.packet(doveadmproto.ChLog, doveadmproto.AppendLog(nil, level, prefix, text))
}

// touched tells a client of our kind how far the command came.
func (o *output) touched(n uint64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.own || o.minor == doveadmproto.MinorRaw {
		return o.err
	}
	return o.packet(doveadmproto.ChTouched, strconv.AppendUint(nil, n, 10))
}

func (o *output) packet(ch byte, b []byte) error {
	if len(b) == 0 || o.err != nil {
		return o.err
	}
	o.waits.Add(1)
	defer o.waits.Add(-1)
	if o.minor == doveadmproto.MinorRaw {
		_, o.err = o.w.Write(b)
	} else {
		_, o.err = o.w.Write(doveadmproto.AppendPacket(nil, ch, b))
	}
	return o.err
}

// flush sends what was added.
func (o *output) flush() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.waits.Add(1)
		o.err = o.w.Flush()
		o.waits.Add(-1)
	}
	return o.err
}

// status spells a code as the client reads it.
func (o *output) status(code int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.own {
		return doveadmproto.StatusText(code, doveadmproto.MinorOwn)
	}
	return doveadmproto.StatusText(code, o.minor)
}
