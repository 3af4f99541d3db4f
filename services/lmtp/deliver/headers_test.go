package deliver

import (
	"strings"
	"testing"
	"time"

	"culver/internal/lmtpproto"
	"culver/internal/settings/finished"
)

func deliveryForTest(change finished.Bag, c client, original string) *delivery {
	b := settingsForTest()
	for k, v := range change {
		b[k] = v
	}
	s := &session{settings: b, client: c, sender: lmtpproto.Path{Local: "s", Domain: "y"}}
	return &delivery{session: s, rcpt: &recipient{path: lmtpproto.Path{Local: "bob+x", Domain: "d"}, original: original}, begun: time.Now()}
}

func TestHead(t *testing.T) {
	t.Parallel()
	tcp := client{addr: "192.0.2.9", helo: "relay", proto: "LMTP", session: "S"}
	for _, tt := range []struct {
		name     string
		change   finished.Bag
		client   client
		original string
		want     string // up to the date
	}{
		{"usual", nil, tcp, "", "Return-Path: <s@y>\nDelivered-To: bob+x@d\nReceived: from relay ([192.0.2.9])\n\tby mx.example.org with LMTP\n\tid S\n\t(envelope-from <s@y>)\n\tfor <bob+x@d>; "},
		{"over a unix socket", nil, client{helo: "ux", session: "S"}, "", "Return-Path: <s@y>\nDelivered-To: bob+x@d\nReceived: from ux\n\tby "},
		{"no name, IPv6, TLS", nil, client{addr: "IPV6:2001:db8::1", tls: "(using TLSv1.3 with cipher X (256/256 bits))", session: "S"}, "",
			"Return-Path: <s@y>\nDelivered-To: bob+x@d\nReceived: from unknown ([IPv6:2001:db8::1])\n\t(using TLSv1.3 with cipher X (256/256 bits))\n\tby mx.example.org with LMTPS\n"},
		{"the original recipient", finished.Bag{"lmtp_hdr_delivery_address": "original"}, tcp, "list@y", "Return-Path: <s@y>\nDelivered-To: list@y\nReceived: from relay ([192.0.2.9])\n\tby mx.example.org with LMTP\n\tid S\n\t(envelope-from <s@y>)\n\tfor <list@y>; "},
		{"an original that could end its line", finished.Bag{"lmtp_hdr_delivery_address": "original"}, tcp, "l\r\nX: y", "Return-Path: <s@y>\nDelivered-To: l??X: y\n"},
		{"no original recipient", finished.Bag{"lmtp_hdr_delivery_address": "original"}, tcp, "", "Return-Path: <s@y>\nReceived: from relay ([192.0.2.9])\n\tby mx.example.org with LMTP\n\tid S\n\t(envelope-from <s@y>)\n\tfor <bob+x@d>; "},
		{"none", finished.Bag{"lmtp_hdr_delivery_address": "none"}, tcp, "", "Return-Path: <s@y>\nReceived: from relay ([192.0.2.9])\n\tby mx.example.org with LMTP\n\tid S\n\t(envelope-from <s@y>)\n\t; "},
		{"no Received", finished.Bag{"lmtp_add_received_header": "no"}, tcp, "", "Return-Path: <s@y>\nDelivered-To: bob+x@d\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := string(deliveryForTest(tt.change, tt.client, tt.original).head())
			if !strings.HasPrefix(got, tt.want) {
				t.Errorf("got %q\nwant %q", got, tt.want)
			}
			if strings.Contains(got, "Received") {
				date := strings.TrimSuffix(got[strings.LastIndex(got, "; ")+2:], "\n")
				if _, err := time.Parse(time.RFC1123Z, date); err != nil {
					t.Errorf("date: %v", err)
				}
			}
		})
	}
}

func TestOriginalRecipientFromHeader(t *testing.T) {
	t.Parallel()
	d := deliveryForTest(finished.Bag{"lda_original_recipient_header": "X-Original-To"}, client{}, "")
	d.msg = &message{first: []byte("Subject: a\r\nx-original-to: list@y\r\n\r\n")}
	if d.originalFromHeader(); d.rcpt.original != "list@y" {
		t.Errorf("got %q", d.rcpt.original)
	}
}

func TestHeader(t *testing.T) {
	t.Parallel()
	m := message{first: []byte("Subject: a\r\n long\r\n\tone\r\nMessage-Id:<1@x>\r\nEmpty:\r\n\r\nX-Body: no\r\n")}
	for name, want := range map[string]string{"Subject": "a long\tone", "Message-ID": "<1@x>", "Empty": "", "X-Body": "", "Sub": ""} {
		if got := m.header(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in    string
		limit int
		want  string
	}{
		{"plain", 9, "plain"},
		{"a\r\nb\x00\x1b[31m\u0085", 99, "a??b??[31m?"},
		{"a\xffb", 9, "a?b"},
		{"aé", 2, "a"},
		{"aéb", 3, "aé"},
		{"💌x", 3, ""},
	} {
		if got := clean(tt.in, tt.limit); got != tt.want {
			t.Errorf("clean(%q, %d): got %q, want %q", tt.in, tt.limit, got, tt.want)
		}
	}
}

func TestExpandLog(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{
		"msgid=%m: %$":    "msgid=<m>: <$>",
		"%{msgid}%%x":     "<msgid>%x",
		"100%":            "100",
		"%{unclosed":      "<{>unclosed",
		"no variable":     "no variable",
		"%{delivery_time": "<{>delivery_time",
	} {
		if got := expandLog(format, func(n string) string { return "<" + n + ">" }); got != want {
			t.Errorf("%q: got %q, want %q", format, got, want)
		}
	}
}
