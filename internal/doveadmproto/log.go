package doveadmproto

import "bytes"

// The levels of a log line.
const (
	LogDebug byte = iota + 1
	LogInfo
	LogWarning
	LogError
	LogFatal
	LogPanic
)

// NotBegun is what a server of ours logs for a command that was cancelled while
// it waited for a worker.
const NotBegun = "cancelled before a worker began"

// AppendLog adds a message to out as lines of the log channel: one for each of
// its lines, and more where one is longer than MaxLogLine. prefix comes before
// each.
func AppendLog(out []byte, level byte, prefix, text string) []byte {
	room := max(1, MaxLogLine-len(prefix)-2)
	rest := []byte(text)
	for first := true; first || len(rest) > 0; first = false {
		n := bytes.IndexByte(rest, '\n')
		next := n + 1
		if n < 0 {
			n, next = len(rest), len(rest)
		}
		if n > room {
			n, next = room, room
		}
		out = append(append(out, level), prefix...)
		out = append(append(out, bytes.TrimSuffix(rest[:n], []byte("\r"))...), '\n')
		rest = rest[next:]
	}
	return out
}

// LogReader cuts what comes on the log channel into lines again.
type LogReader struct {
	held []byte
}

// Feed calls line for each line that b completes. A byte that is no level means
// a warning, as in Dovecot's client; a line longer than MaxLogLine comes in pieces.
func (l *LogReader) Feed(b []byte, line func(level byte, text string)) {
	for len(b) > 0 {
		n := bytes.IndexByte(b, '\n')
		whole := n >= 0
		if !whole {
			n = len(b)
		}
		if room := 2*MaxLogLine - len(l.held); n > room {
			n, whole = room, false
		}
		l.held = append(l.held, b[:n]...)
		b = b[n:]
		if whole {
			b = b[1:]
		}
		if whole || len(l.held) == 2*MaxLogLine {
			l.give(line)
		}
	}
}

// Flush gives what came without its LF.
func (l *LogReader) Flush(line func(level byte, text string)) {
	if len(l.held) > 0 {
		l.give(line)
	}
}

func (l *LogReader) give(line func(level byte, text string)) {
	level, text := LogWarning, l.held
	if len(text) > 0 && LogDebug <= text[0] && text[0] <= LogPanic {
		level, text = text[0], text[1:]
	}
	line(level, string(text))
	l.held = l.held[:0]
}
