package brain

import (
	"fmt"
	"io"
	"sync"
	"time"

	"culver/internal/doveadmproto"
	"culver/services/doveadm/command"
	"culver/services/doveadm/format"
)

// display is what a run says on stderr.
type display interface {
	line(text string)                         // about the run; fit for a terminal
	log(user string, level byte, text string) // about a user; as it came
	user(user string, res *result)
	total(users int64)
	end(s sum, many, stopped bool, journal string)
}

// newDisplay is the one that was asked for. A bar is for a terminal, and only
// where no rows run through it.
func newDisplay(g *Global, progress string, many, rows bool) display {
	switch {
	case progress == "ndjson":
		return newEvents(g.Err)
	case progress != "none" && many && g.ErrTerminal && !(rows && g.OutTerminal):
		return newBar(g.Err)
	}
	return &plain{w: g.Err}
}

// plain is a display of lines.
type plain struct {
	mu sync.Mutex
	w  io.Writer
}

func (p *plain) line(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	io.WriteString(p.w, text+"\n")
}

func (p *plain) log(user string, level byte, text string) { p.line(logLine(user, level, text)) }
func (p *plain) user(string, *result)                     {}
func (p *plain) total(int64)                              {}

func (p *plain) end(s sum, many, stopped bool, journal string) {
	if many {
		p.line(summary(s, stopped, journal))
	}
}

func logLine(user string, level byte, text string) string {
	return "doveadm(" + format.Safe(user) + "): " + levelName(level) + ": " + format.Safe(text)
}

func levelName(level byte) string {
	switch level {
	case doveadmproto.LogDebug:
		return "Debug"
	case doveadmproto.LogInfo:
		return "Info"
	case doveadmproto.LogError:
		return "Error"
	case doveadmproto.LogFatal:
		return "Fatal"
	case doveadmproto.LogPanic:
		return "Panic"
	}
	return "Warning"
}

// summary is the last line of a run.
func summary(s sum, stopped bool, journal string) string {
	line := fmt.Sprintf("doveadm: %d users ok, %d failed, %d skipped; %d messages", s.ok, s.bad, s.skipped, s.touched)
	if s.bytes > 0 {
		line += fmt.Sprintf(", %d bytes", s.bytes)
	}
	if s.vanished > 0 {
		line += fmt.Sprintf(", %d had vanished", s.vanished)
	}
	line += "; " + s.took.Round(time.Millisecond).String()
	if stopped {
		line += "; stopped before the end"
		if journal != "" {
			line += ", go on with: " + command.Program + " resume " + journal
		}
	}
	return line
}
