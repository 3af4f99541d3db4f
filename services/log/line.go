package log

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"culver/internal/handoff"
	"culver/internal/maillog/logline"
	"culver/internal/tabline"
)

// maxSession bounds a session's name in a prefix.
const maxSession = 128

// Source is whose pipe it is, in the master's words.
type Source struct {
	PID     uint64
	Service string
	User    string // "" when the process serves more than one, and may name them
}

// Line is what a child wrote, not yet clean.
type Line struct {
	Level         logline.Level
	Session, User string
	Text          string
}

// parse reads one line without its end. What is not in our form is somebody's
// standard error, a panic most likely, and so an error.
func parse(line []byte, cut bool) Line {
	mark := ""
	if cut {
		mark = logline.Mark
	}
	if len(line) >= 2 && line[0] == 1 && known(logline.Level(line[1])) {
		f := strings.SplitN(string(line[2:]), "\t", 3)
		if len(f) == 3 {
			return Line{
				Level:   logline.Level(line[1]),
				Session: tabline.Unescape(f[0]),
				User:    tabline.Unescape(f[1]),
				Text:    tabline.Unescape(f[2]) + mark,
			}
		}
	}
	return Line{Level: logline.Error, Text: string(line) + mark}
}

func known(l logline.Level) bool { return levelName(l) != "" }

// levelName is Dovecot's word for a level.
func levelName(l logline.Level) string {
	switch l {
	case logline.Debug:
		return "Debug"
	case logline.Info:
		return "Info"
	case logline.Warn:
		return "Warning"
	case logline.Error:
		return "Error"
	case logline.Fatal:
		return "Fatal"
	case logline.Audit:
		return "Audit"
	}
	return ""
}

// appendPrefix writes who says it, in the form that tools know from Dovecot:
// "lmtp(bob@x)<PID><SESSION>: ", without a user "lmtp(PID): ".
func (s Source) appendPrefix(out []byte, l Line) []byte {
	user := s.User
	if user == "" {
		user = l.User
	}
	out = append(out, s.Service...)
	pid := strconv.FormatUint(s.PID, 10)
	switch {
	case user != "":
		out = append(out, '(')
		out = appendName(out, user, handoff.MaxUser)
		out = append(out, ")<"+pid+">"...)
	case !single(s.Service):
		out = append(out, "("+pid+")"...)
	}
	if l.Session != "" {
		out = append(out, '<')
		out = appendName(out, l.Session, maxSession)
		out = append(out, '>')
	}
	return append(out, ": "...)
}

// judged gives the level that counts: audit lines are auth's, and the master has
// told whose pipe this is. In another's the word would be a forgery.
func (s Source) judged(l logline.Level) logline.Level {
	if l == logline.Audit && s.Service != "auth" {
		return logline.Error
	}
	return l
}

// single tells the services of which there is one process, whose lines Dovecot
// prefixes with the bare name ("auth: Error: ..."), and log watchers match it.
func single(service string) bool {
	switch service {
	case "master", "auth", "log", "anvil":
		return true
	}
	return false
}

// appendName writes one field of a prefix. Nothing in it may look like the end
// of the field, or a user named "x)<1>: Info: y" would write a prefix himself.
func appendName(out []byte, s string, limit int) []byte {
	if len(s) > limit {
		s = s[:limit]
	}
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if unsafe(r, n) || strings.ContainsRune("()<> ", r) {
			out = appendHex(out, s[i:i+n])
		} else {
			out = append(out, s[i:i+n]...)
		}
		i += n
	}
	return out
}

// appendText writes what was said on one line: line ends and everything else
// that could start a new line or steer a terminal is made visible.
func appendText(out []byte, s string) []byte {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\n':
			out = append(out, `\n`...)
		case r == '\r':
			out = append(out, `\r`...)
		case r == '\t':
			out = append(out, `\t`...)
		case unsafe(r, n):
			out = appendHex(out, s[i:i+n])
		default:
			out = append(out, s[i:i+n]...)
		}
		i += n
	}
	return out
}

// unsafe tells control characters of both sets, the two separators that end a
// line in Unicode, the marks that turn the direction of writing, and bytes that
// are no UTF-8.
func unsafe(r rune, size int) bool {
	return r == utf8.RuneError && size == 1 ||
		unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
}

func appendHex(out []byte, s string) []byte {
	const digits = "0123456789abcdef"
	for i := range len(s) {
		out = append(out, '\\', 'x', digits[s[i]>>4], digits[s[i]&15])
	}
	return out
}
