package log

import (
	"time"

	"culver/internal/maillog/logline"
)

// Output is one place where lines end up. Its methods are called by one
// goroutine at a time and never wait for long.
type Output interface {
	// Put takes one line without its end; who is everything before the level.
	Put(now time.Time, l logline.Level, who, text []byte)
	// Flush writes what Put has taken.
	Flush(now time.Time)
	// Reopen opens files and sockets again.
	Reopen()
}

// Writer writes the lines of all children, one child's turn after the other.
type Writer struct {
	// Clock is time.Now where it is nil.
	Clock func() time.Time

	route map[logline.Level]Output
	all   []Output

	// turn is a lock that is handed over in the order of asking: a sender on a
	// channel meets the receiver that has waited longest. A child that floods
	// stands behind all others after each of its turns, which a sync.Mutex does
	// not promise.
	turn      chan struct{}
	who, text []byte
}

// NewWriter makes a Writer that sends each level to its place. The same Output
// may serve several levels.
func NewWriter(errors, info, debug, audit Output) *Writer {
	w := &Writer{
		route: map[logline.Level]Output{
			logline.Debug: debug, logline.Info: info,
			logline.Warn: errors, logline.Error: errors, logline.Fatal: errors,
			logline.Audit: audit,
		},
		turn: make(chan struct{}, 1),
	}
	for _, o := range []Output{errors, info, debug, audit} {
		known := false
		for _, have := range w.all {
			known = known || have == o
		}
		if !known {
			w.all = append(w.all, o)
		}
	}
	w.turn <- struct{}{}
	return w
}

func (w *Writer) now() time.Time {
	if w.Clock != nil {
		return w.Clock()
	}
	return time.Now()
}

// Write writes the lines of one child, at its turn.
func (w *Writer) Write(from Source, lines []Line) {
	if len(lines) == 0 {
		return
	}
	<-w.turn
	defer func() { w.turn <- struct{}{} }()
	// The clock is read inside the turn, so that times in a file never go back.
	now := w.now()
	for _, l := range lines {
		l.Level = from.judged(l.Level)
		w.who = from.appendPrefix(w.who[:0], l)
		w.text = appendText(w.text[:0], l.Text)
		w.route[l.Level].Put(now, l.Level, w.who, w.text)
	}
	for _, o := range w.all {
		o.Flush(now)
	}
}

// Own writes a line of the log service itself.
func (w *Writer) Own(l logline.Level, text string) {
	w.Write(Source{Service: "log"}, []Line{{Level: l, Text: text}})
}

// Reopen opens all outputs again.
func (w *Writer) Reopen() {
	<-w.turn
	defer func() { w.turn <- struct{}{} }()
	for _, o := range w.all {
		o.Reopen()
	}
}
