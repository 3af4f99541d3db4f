package deliver

import (
	"strconv"
	"strings"
	"time"

	"culver/internal/maillog/logline"
)

// log writes the one line about this recipient, in the form of
// deliver_log_format (spec/lmtp.md 19).
func (d *delivery) log(l logline.Level, result string) {
	d.session.log(l, expandLog(d.settings.String("deliver_log_format"), func(name string) string {
		return d.logValue(name, result)
	}))
}

func (d *delivery) logValue(name, result string) string {
	switch name {
	case "$", "msg", "message":
		return clean(result, 1024)
	case "m", "msgid":
		if id := clean(d.header("Message-ID"), maxMessageID); id != "" {
			return id
		}
		return "unspecified"
	case "s", "subject":
		return clean(d.header("Subject"), maxShown)
	case "f", "from":
		return clean(bareAddress(d.header("From")), maxShown)
	case "e", "from_envelope":
		return clean(d.sender.String(), maxShown)
	case "t", "to_envelope":
		return clean(d.rcpt.path.String(), maxShown)
	case "u", "user":
		return d.user
	case "session":
		return d.client.session
	case "p", "size":
		return strconv.FormatInt(d.saved.Size, 10)
	case "w", "vsize":
		return strconv.FormatInt(d.saved.Virtual, 10)
	case "delivery_time":
		return milliseconds(d.begun)
	case "session_time":
		return milliseconds(d.started)
	case "storage_id":
		return d.saved.Name
	}
	return ""
}

func milliseconds(since time.Time) string {
	return strconv.FormatInt(time.Since(since).Milliseconds(), 10)
}

// header reads of the message; one that could not be opened has none.
func (d *delivery) header(name string) string {
	if d.msg == nil {
		return ""
	}
	return d.msg.header(name)
}

// expandLog replaces %x and %{name}.
func expandLog(format string, value func(name string) string) string {
	var b strings.Builder
	for format != "" {
		text, rest, found := strings.Cut(format, "%")
		b.WriteString(text)
		if !found || rest == "" {
			break
		}
		name, after := rest[:1], rest[1:]
		if name == "{" {
			if inner, more, ok := strings.Cut(after, "}"); ok {
				name, after = inner, more
			}
		}
		if name == "%" {
			b.WriteByte('%')
		} else {
			b.WriteString(value(name))
		}
		format = after
	}
	return b.String()
}

// bareAddress takes the address out of a From field, well enough for a log.
func bareAddress(from string) string {
	if i := strings.LastIndexByte(from, '<'); i >= 0 {
		addr, _, _ := strings.Cut(from[i+1:], ">")
		return addr
	}
	return from
}
