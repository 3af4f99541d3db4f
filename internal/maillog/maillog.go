// Package maillog is how daemons log: a slog.Handler whose records become lines
// of the process's own log pipe, and Secret, which cannot be printed.
//
// Runs as:   any daemon; per-user workers use package logline alone.
// Trusts:    the caller.
// Distrusts: values: package logline frames them, and the log service cleans them.
// Speaks:    the lines of package logline.
//
// The attributes "session" and "user" become fields of the line's frame, which
// the log service prints in front: "lmtp(bob@x)<PID><SESSION>: ". Others follow
// the message as key=value. The keys are the same everywhere: conn, rcpt, err,
// took and, where it is not this process, service and pid.
package maillog

import (
	"context"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"culver/internal/maillog/logline"
)

// The keys that are fields of the frame.
const (
	KeySession = "session"
	KeyUser    = "user"
)

// LevelFatal is the level of a process's last line.
const LevelFatal = slog.LevelError + 4

// New gives a logger that writes to the process's log pipe; debug lets
// slog.LevelDebug through (the setting log_debug).
func New(debug bool) *slog.Logger {
	if debug {
		return slog.New(NewHandler(os.Stderr, slog.LevelDebug))
	}
	return slog.New(NewHandler(os.Stderr, nil))
}

// Handler writes each record as one line with one write. It has no lock: a line
// is at most PIPE_BUF bytes, and the kernel does not mix those.
type Handler struct {
	out           io.Writer
	level         slog.Leveler
	session, user string
	group         string // "a.b." for attributes that come after WithGroup
	attrs         []byte // " key=value" of those that were given to With
}

// NewHandler makes a Handler that writes to out what has at least this level;
// nil is slog.LevelInfo.
func NewHandler(out io.Writer, level slog.Leveler) *Handler {
	if level == nil {
		level = slog.LevelInfo
	}
	return &Handler{out: out, level: level}
}

// Enabled is part of slog.Handler.
func (h *Handler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

// WithGroup is part of slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	with := *h
	with.group += name + "."
	return &with
}

// WithAttrs is part of slog.Handler.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.attrs = slices.Clone(h.attrs)
	for _, a := range attrs {
		with.add(h.group, a)
	}
	return &with
}

// Handle is part of slog.Handler.
func (h *Handler) Handle(_ context.Context, r slog.Record) error {
	line := *h
	line.attrs = append(make([]byte, 0, 256), h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		line.add(h.group, a)
		return true
	})
	text := r.Message + string(line.attrs)
	_, err := h.out.Write(logline.Append(nil, level(r.Level), line.session, line.user, text))
	return err
}

// add puts one attribute where it belongs.
func (h *Handler) add(group string, a slog.Attr) {
	v := a.Value.Resolve()
	switch {
	case a.Equal(slog.Attr{}):
	case v.Kind() == slog.KindGroup:
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, in := range v.Group() {
			h.add(group, in)
		}
	case group == "" && a.Key == KeySession:
		h.session = v.String()
	case group == "" && a.Key == KeyUser:
		h.user = v.String()
	default:
		h.attrs = append(h.attrs, ' ')
		h.attrs = append(h.attrs, group+a.Key...)
		h.attrs = append(h.attrs, '=')
		h.attrs = appendValue(h.attrs, v.String())
	}
}

// appendValue quotes a value that would not be seen to be one word.
func appendValue(out []byte, s string) []byte {
	plain := func(r rune) bool { return unicode.IsPrint(r) && r != ' ' && r != '"' && r != '=' }
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return strconv.AppendQuote(out, s)
	}
	return append(out, s...)
}

func level(l slog.Level) logline.Level {
	switch {
	case l < slog.LevelInfo:
		return logline.Debug
	case l < slog.LevelWarn:
		return logline.Info
	case l < slog.LevelError:
		return logline.Warn
	case l < LevelFatal:
		return logline.Error
	}
	return logline.Fatal
}
