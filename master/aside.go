package master

import (
	"bytes"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// maxAside bounds the lines that wait for stderr.
const maxAside = 256

// aside writes lines to stderr for a loop that may not wait: whoever reads it
// may have stopped (a pager, a journald that is stuck), and would stop all mail.
// What does not fit is lost and counted.
type aside struct {
	to    *os.File
	lines chan asideLine
	lost  atomic.Int64
}

type asideLine struct {
	text    []byte
	written chan<- struct{} // closed when all before it is out; its text is empty
}

func newAside(to *os.File) *aside {
	a := &aside{to: to, lines: make(chan asideLine, maxAside)}
	go a.write()
	return a
}

// put takes a line, framed or not; the frame is left out.
func (a *aside) put(line []byte) {
	if fields := bytes.SplitN(line, []byte{'\t'}, 3); len(fields) == 3 {
		line = fields[2]
	}
	select {
	case a.lines <- asideLine{text: append([]byte("culver: "), line...)}:
	default:
		a.lost.Add(1)
	}
}

func (a *aside) write() {
	for l := range a.lines {
		if n := a.lost.Swap(0); n > 0 {
			fmt.Fprintf(a.to, "culver: stderr was full, %d lines are lost\n", n)
		}
		if l.written != nil {
			close(l.written)
			continue
		}
		a.to.Write(l.text)
	}
}

// flush waits until all lines are out, but no longer than d.
func (a *aside) flush(d time.Duration) {
	over := time.After(d)
	written := make(chan struct{})
	select {
	case a.lines <- asideLine{written: written}:
	case <-over:
		return
	}
	select {
	case <-written:
	case <-over:
	}
}
