package deliver

import (
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of values that somebody else chose, as spec/lmtp.md 19 cuts them.
const (
	maxHeaderValue = 255
	maxMessageID   = 200
	maxMailbox     = 80
	maxShown       = 80 // subject and addresses
)

// head gives the lines that stand before the message's own (spec/lmtp.md 10).
// The front sends one recipient per worker, so Delivered-To always fits.
func (d *delivery) head() []byte {
	var b strings.Builder
	sender := d.sender.String()
	b.WriteString("Return-Path: <" + sender + ">\n")
	to, forTo := d.deliveryAddress()
	if to != "" {
		b.WriteString("Delivered-To: " + to + "\n")
	}
	if d.settings.Bool("lmtp_add_received_header") {
		d.received(&b, sender, forTo)
	}
	return []byte(b.String())
}

// deliveryAddress gives what Delivered-To and Received's "for" name.
func (d *delivery) deliveryAddress() (to, forTo string) {
	final := d.rcpt.path.String()
	switch d.settings.String("lmtp_hdr_delivery_address") {
	case "none":
		return "", ""
	case "original":
		if original := clean(d.rcpt.original, 2*maxHeaderValue); original != "" {
			return original, original
		}
		return "", final
	}
	return final, final
}

func (d *delivery) received(b *strings.Builder, sender, forTo string) {
	c := d.client
	helo := c.helo
	if helo == "" {
		helo = "unknown"
	}
	b.WriteString("Received: from " + helo)
	if c.addr != "" {
		b.WriteString(" ([" + addressLiteral(c.addr) + "])")
	}
	if c.tls != "" {
		b.WriteString("\n\t" + c.tls)
	}
	b.WriteString("\n\tby " + d.settings.String("hostname") + " with " + protocolOf(c))
	b.WriteString("\n\tid " + c.session)
	b.WriteString("\n\t(envelope-from <" + sender + ">)\n\t")
	if forTo != "" {
		b.WriteString("for <" + forTo + ">")
	}
	b.WriteString("; " + d.now().Format(time.RFC1123Z) + "\n")
}

// addressLiteral tags IPv6 as RFC 5321 section 4.1.3 wants it.
func addressLiteral(addr string) string {
	if len(addr) >= 5 && strings.EqualFold(addr[:5], "IPV6:") {
		addr = addr[5:]
	}
	if strings.Contains(addr, ":") {
		return "IPv6:" + addr
	}
	return addr
}

// protocolOf gives the keyword of RFC 3848.
func protocolOf(c client) string {
	switch c.proto {
	case "LMTPS", "LMTPA", "LMTPSA":
		return c.proto
	}
	if c.tls != "" {
		return "LMTPS"
	}
	return "LMTP"
}

// now is the time in the zone of the system, which lies outside the box and
// comes with the settings.
func (s *session) now() time.Time {
	now := time.Now()
	if zone := s.settings["zoneinfo"]; zone != "" {
		if loc, err := time.LoadLocationFromTZData("Local", []byte(zone)); err == nil {
			return now.In(loc)
		}
	}
	return now.UTC()
}

// clean makes a value fit for a header, a reply or a log line: no control
// bytes, valid UTF-8, cut at a character.
func clean(s string, limit int) string {
	if len(s) > limit {
		for limit > 0 && !utf8.RuneStart(s[limit]) {
			limit--
		}
		s = s[:limit]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
}
