// Package logline writes one child's log lines to its own pipe, in the form
// the log service reads. Per-user workers use it as it is; daemons wrap it in a
// slog.Handler (package maillog).
//
// Runs as:   any worker; pure but for one write on descriptor 2.
// Trusts:    the caller.
// Distrusts: the values it prints: control bytes are escaped here and again by
// the log service, which believes neither level nor text.
// Speaks:    0x01 LEVEL session TAB user TAB text LF, fields as in package tabline.
// A line without 0x01 is somebody's stderr and logged as an error.
package logline

import (
	"fmt"
	"os"

	"culver/internal/tabline"
)

// Level is the second byte of a line.
type Level byte

const (
	Debug Level = 'd'
	Info  Level = 'i'
	Warn  Level = 'w'
	Error Level = 'e'
	Fatal Level = 'f'
	// Audit is a record of who used what, and not a level: auth alone writes such
	// lines, and the log service takes them from no other process.
	Audit Level = 'a'
)

// MaxLine bounds one line with its frame and line end; longer text is cut and
// ends in Mark. It is PIPE_BUF, up to which a write to a pipe is never mixed
// with another thread's.
const MaxLine = 4096

// Mark ends a text that was cut.
const Mark = " [cut]"

// Append adds one framed line to out. user is honoured by the log service only
// from a process that serves several users.
func Append(out []byte, l Level, session, user, text string) []byte {
	start := len(out)
	out = append(out, 1, byte(l))
	out = tabline.Append(out, session, user, text)
	if len(out)-start > MaxLine-1 {
		out = append(out[:start+MaxLine-1-len(Mark)], Mark...)
	}
	return append(out, '\n')
}

// Print writes one line to the log pipe with a single write.
func Print(l Level, session, user, format string, args ...any) {
	os.Stderr.Write(Append(nil, l, session, user, fmt.Sprintf(format, args...)))
}
