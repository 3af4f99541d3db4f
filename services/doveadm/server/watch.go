package server

import (
	"bytes"
	"io"
	"slices"

	"culver/internal/doveadmproto"
)

// next gives the client's next line, which may have come while the last command
// ran.
func (s *session) next() line {
	if s.ahead == nil {
		b, err := s.read(doveadmproto.MaxLine)
		return line{b, err}
	}
	l := <-s.ahead
	s.ahead = nil
	return l
}

// watch reads ahead of a command that runs: a CANCEL stops it, and so does the
// client's end. Any other line waits for its turn, and nothing is read after it.
func (s *session) watch(r *run) {
	ahead := make(chan line, 1)
	s.ahead = ahead
	go func() {
		for {
			b, err := s.read(doveadmproto.MaxLine)
			if err == nil && bytes.Equal(b, cancelLine) {
				r.cancel()
				continue
			}
			if err != nil && (err != io.EOF || hungUp(s.conn.Conn)) {
				r.cancel()
			}
			ahead <- line{slices.Clone(b), err}
			return
		}
	}()
}

var cancelLine = []byte("\t\t" + doveadmproto.NameCancel)
