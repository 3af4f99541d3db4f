package log

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/maillog/logline"
)

// turnBytes bounds what one child may write before the next one has its turn.
const turnBytes = 2 * logline.MaxLine

// A child that had more than turnBytes waiting at each read of this long is
// flooding; it is told of once in every floodRepeat.
const (
	floodAfter  = time.Second
	floodRepeat = time.Minute
)

// What a service that is to be replaced still does for each pipe.
const (
	// leaveBytes bounds what it reads of a child that never stops writing: no
	// pipe of an ordinary user's process holds more.
	leaveBytes = 1 << 20
	// leavePatience is how long it waits for the end of a half line, which the
	// next service would take for a line of its own. Package logline writes whole
	// lines at once; only a program's raw standard error comes in parts.
	leavePatience = 200 * time.Millisecond
)

// reader reads one child's pipe.
type reader struct {
	pipe io.Reader
	from Source
	out  *Writer

	split splitter
	flood flood
	buf   [turnBytes]byte
	lines []Line
}

// run writes all lines until the pipe's last writer is gone. It gives false when
// the pipe's deadline has passed before, and leaves the remainder to leave.
func (r *reader) run() (ended bool) {
	for {
		n, err := r.pipe.Read(r.buf[:])
		// The next read waits for this one's turn: meanwhile the child's own pipe
		// fills and blocks the child, and nobody else.
		r.write(r.buf[:n])
		if r.flood.warns(n == len(r.buf), r.out.now()) {
			r.out.Write(r.from, []Line{{Level: logline.Warn, Text: fmt.Sprintf(
				"service(%s) process %d is sending input faster than we can write", r.from.Service, r.from.PID)}})
		}
		switch {
		case err == nil:
			continue
		case errors.Is(err, os.ErrDeadlineExceeded):
			return false
		case err != io.EOF:
			r.out.Own(logline.Error, fmt.Sprintf("pipe of %s: %v", r.from.Service, err))
		}
		r.end()
		return true
	}
}

func (r *reader) write(data []byte) {
	r.lines = r.split.split(r.lines[:0], data)
	r.out.Write(r.from, r.lines)
}

// end writes the half line of a child that died in the middle of it.
func (r *reader) end() {
	r.out.Write(r.from, r.split.rest(nil))
}

// leave writes what is in the pipe now, up to a line end, and takes nothing
// beyond it: that is for the next service.
func (r *reader) leave(pipe *os.File) {
	raw, err := pipe.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) { r.now(int(fd)) })
	// The other way to meet a line end would be to take a byte too many, and
	// there is none to put it back.
	pipe.SetReadDeadline(time.Now().Add(leavePatience))
	for r.split.inLine() {
		n, err := pipe.Read(r.buf[:1])
		if err != nil {
			break
		}
		r.write(r.buf[:n])
	}
	r.end()
}

// now writes what can be read without waiting.
func (r *reader) now(fd int) {
	for took := 0; took < leaveBytes; {
		n, err := unix.Read(fd, r.buf[:])
		if err == unix.EINTR {
			continue
		}
		if n <= 0 {
			return
		}
		r.write(r.buf[:n])
		took += n
	}
}

// flood decides when a child has earned the warning.
type flood struct {
	since, warned time.Time
}

func (f *flood) warns(full bool, now time.Time) bool {
	switch {
	case !full:
		f.since = time.Time{}
	case f.since.IsZero():
		f.since = now
	case now.Sub(f.since) >= floodAfter && (f.warned.IsZero() || now.Sub(f.warned) >= floodRepeat):
		f.warned = now
		return true
	}
	return false
}

// splitter cuts a stream into lines and never holds more than MaxLine bytes.
type splitter struct {
	held []byte // a line whose end has not come
	skip bool   // held was cut and given out: drop what comes up to the line's end
}

// split adds the lines that data completes.
func (s *splitter) split(lines []Line, data []byte) []Line {
	for len(data) > 0 {
		part, rest, ended := bytes.Cut(data, []byte{'\n'})
		data = rest
		if !s.skip {
			s.held = append(s.held, part...)
			if len(s.held) > logline.MaxLine-1 {
				lines = append(lines, parse(s.held[:logline.MaxLine-1], true))
				s.held, s.skip = s.held[:0], true
			}
		}
		if ended {
			if !s.skip {
				lines = append(lines, parse(s.held, false))
			}
			s.held, s.skip = s.held[:0], false
		}
	}
	return lines
}

// inLine tells whether the stream stands in the middle of a line.
func (s *splitter) inLine() bool { return len(s.held) > 0 || s.skip }

// rest adds the line that will never end.
func (s *splitter) rest(lines []Line) []Line {
	if len(s.held) > 0 {
		lines = append(lines, parse(s.held, false))
	}
	s.held = nil
	return lines
}
