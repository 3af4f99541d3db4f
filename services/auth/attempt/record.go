package attempt

import (
	"strconv"
	"strings"
	"time"
)

// Record is one use, or a try of it, of somebody's mail by somebody else.
type Record struct {
	Time      time.Time
	Event     string // login, ticket, redeem, end (of what a ticket was for)
	Result    string // ok, refused, failed: it could not be told
	Principal string // who acts, or says so
	Target    string // whose mail; "" where a principal logs in as itself
	Command   string // what for; those of a ticket with commas between them
	Service   string
	RemoteIP  string
	Session   string
	Reason    string // of what is not ok; nobody but the log is told
}

// Results of a Record.
const (
	ResultOK      = "ok"
	ResultRefused = "refused"
	ResultFailed  = "failed"
)

// maxValue bounds one value of a line, in bytes before they are quoted.
const maxValue = 512

// String gives the record as one line of key=value. What came from a client is
// quoted, in ASCII, and cut: no name ends its value or the line, and what a client
// makes long costs the end of the line, never what stands before it.
func (r Record) String() string {
	var b strings.Builder
	b.WriteString("event=" + r.Event + " result=" + r.Result + " time=" + r.Time.UTC().Format("2006-01-02T15:04:05.000Z07:00"))
	for _, v := range [...]struct{ key, value string }{
		{"principal", r.Principal}, {"target", r.Target}, {"rip", r.RemoteIP}, {"service", r.Service},
		{"command", r.Command}, {"reason", r.Reason}, {"session", r.Session},
	} {
		if v.value == "" {
			continue
		}
		if len(v.value) > maxValue {
			v.value = v.value[:maxValue] + "..."
		}
		b.WriteString(" " + v.key + "=" + strconv.QuoteToASCII(v.value))
	}
	return b.String()
}
