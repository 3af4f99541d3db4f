package brain

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	"culver/services/doveadm/format"
)

// events is a display for programs: one JSON object a line, and nothing else on
// stderr.
type events struct {
	mu    sync.Mutex
	w     io.Writer
	began time.Time
	of    int64
	done  int64
	next  time.Time // of the next progress event
}

// event is one line; what is not of its kind is left out.
type event struct {
	Event    string   `json:"event"` // line, log, user, progress, summary
	User     string   `json:"user,omitempty"`
	Level    string   `json:"level,omitempty"`
	Text     string   `json:"text,omitempty"`
	Status   *int     `json:"status,omitempty"`
	Reason   string   `json:"reason,omitempty"`
	Messages *int64   `json:"messages,omitempty"`
	Bytes    *int64   `json:"bytes,omitempty"` // of a dry run
	Seconds  *float64 `json:"seconds,omitempty"`
	Users    *int64   `json:"users,omitempty"` // done so far
	Of       *int64   `json:"of,omitempty"`    // known once they are counted
	Rate     *float64 `json:"rate,omitempty"`  // users a second
	Left     *float64 `json:"left,omitempty"`  // seconds to the end
	OK       *int64   `json:"ok,omitempty"`
	Failed   *int64   `json:"failed,omitempty"`
	Skipped  *int64   `json:"skipped,omitempty"`
	Vanished *int64   `json:"vanished,omitempty"`
	Stopped  bool     `json:"stopped,omitempty"`
	Journal  string   `json:"journal,omitempty"`
}

const eventEvery = time.Second

func newEvents(w io.Writer) *events {
	return &events{w: w, began: time.Now()}
}

func (e *events) send(v event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.write(v)
}

// write writes one line, the lock is held. It may be shown on a terminal.
func (e *events) write(v event) {
	if line, err := json.Marshal(v); err == nil {
		e.w.Write(append(format.SafeJSON(line), '\n'))
	}
}

func (e *events) line(text string) { e.send(event{Event: "line", Text: text}) }

func (e *events) log(user string, level byte, text string) {
	e.send(event{Event: "log", User: user, Level: levelName(level), Text: text})
}

func (e *events) total(users int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.of = users
}

func (e *events) user(user string, res *result) {
	seconds := res.took.Seconds()
	v := event{Event: "user", User: user, Status: &res.code, Messages: &res.touched, Seconds: &seconds}
	if res.code != 0 {
		v.Reason = res.reason
	}
	if res.bytes > 0 {
		v.Bytes = &res.bytes
	}
	e.send(v)
	e.progress()
}

// progress tells now and then how far the run is.
func (e *events) progress() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.done++
	now := time.Now()
	if now.Before(e.next) {
		return
	}
	e.next = now.Add(eventEvery)
	done := e.done
	rate := float64(done) / max(now.Sub(e.began).Seconds(), 1e-3)
	v := event{Event: "progress", Users: &done, Rate: &rate}
	if of := e.of; of > 0 {
		left := float64(max(of-done, 0)) / rate
		v.Of, v.Left = &of, &left
	}
	e.write(v)
}

func (e *events) end(s sum, many, stopped bool, journal string) {
	seconds := s.took.Seconds()
	v := event{
		Event: "summary", OK: &s.ok, Failed: &s.bad, Skipped: &s.skipped, Messages: &s.touched,
		Status: &s.exit, Seconds: &seconds, Stopped: stopped, Journal: journal,
	}
	if s.bytes > 0 {
		v.Bytes = &s.bytes
	}
	if s.vanished > 0 {
		v.Vanished = &s.vanished
	}
	e.send(v)
}
