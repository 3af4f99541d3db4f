package log

import (
	"bytes"
	"fmt"
	"io"
	"time"

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

// read writes all lines of one child until the pipe's last writer is gone.
func read(pipe io.Reader, from Source, w *Writer) {
	s := splitter{}
	f := flood{}
	buf := make([]byte, turnBytes)
	var lines []Line
	for {
		n, err := pipe.Read(buf)
		lines = s.split(lines[:0], buf[:n])
		if err != nil {
			// A child that died in the middle of a line still said that much.
			lines = s.rest(lines)
		}
		// The next read waits for this one's turn: meanwhile the child's own pipe
		// fills and blocks the child, and nobody else.
		w.Write(from, lines)
		if f.warns(n == len(buf), w.now()) {
			w.Write(from, []Line{{Level: logline.Warn, Text: fmt.Sprintf(
				"service(%s) process %d is sending input faster than we can write", from.Service, from.PID)}})
		}
		if err != nil {
			if err != io.EOF {
				w.Own(logline.Error, fmt.Sprintf("pipe of %s: %v", from.Service, err))
			}
			return
		}
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

// rest adds the line that will never end.
func (s *splitter) rest(lines []Line) []Line {
	if len(s.held) > 0 {
		lines = append(lines, parse(s.held, false))
	}
	s.held = nil
	return lines
}
