package lmtp

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"culver/internal/lmtpproto"
)

func xtext(s string) (string, error) { return lmtpproto.DecodeXtext(s) }

const hello = `
	S 220 vm Culver ready.
	C LHLO mx.example.org
	S 250-vm
	S 250-8BITMIME
	S 250-CHUNKING
	S 250-ENHANCEDSTATUSCODES
	S 250-PIPELINING
	S 250-SIZE 1048576
	S 250 SMTPUTF8
`

func TestTranscripts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, script string }{
		{"several recipients, several outcomes", hello + `
			C MAIL FROM:<sender@example.org> BODY=8BITMIME
			S 250 2.1.0 OK
			C RCPT TO:<alice@x>
			S 250 2.1.5 OK
			C RCPT TO:<nobody@x>
			S 550 5.1.1 <nobody@x> User doesn't exist: nobody@x
			C RCPT TO:<down@x>
			S 451 4.3.0 <down@x> Temporary internal error
			C RCPT TO:<bob+Lists@x>
			S 250 2.1.5 OK
			C DATA
			S 354 OK
			C Subject: x
			C
			C .
			S 250 2.0.0 <alice@x> SID Saved
			S 250 2.0.0 <bob+Lists@x> SID:R4 Saved
			C MAIL FROM:<> SIZE=10
			C RCPT TO:<bob@x> ORCPT=rfc822;list@y
			S 250 2.1.0 OK
			S 250 2.1.5 OK
			C DATA
			S 354 OK
			C .
			S 250 2.0.0 <bob@x> SID:T2 Saved
			C QUIT
			S 221 2.0.0 Bye
			S EOF`},
		{"all pipelined, with BDAT", hello + `
			C MAIL FROM:<a@x>
			C RCPT TO:<alice@x>
			C RCPT TO:<bob@x>
			C BDAT 12
			R "123456789\r\n."
			C BDAT 6 LAST
			R "\r\nabcd"
			C QUIT
			S 250 2.1.0 OK
			S 250 2.1.5 OK
			S 250 2.1.5 OK
			S 250 2.0.0 Added 12 octets
			S 250 2.0.0 <alice@x> SID Saved
			S 250 2.0.0 <bob@x> SID:R2 Saved
			S 221 2.0.0 Bye
			S EOF`},
		{"sequence errors", hello + `
			C DATA
			S 503 5.5.0 MAIL needed first
			C RCPT TO:<bob@x>
			S 503 5.5.0 MAIL needed first
			C BDAT 0 LAST
			S 503 5.5.0 MAIL needed first
			C MAIL FROM:<>
			S 250 2.1.0 OK
			C MAIL FROM:<>
			S 503 5.5.0 MAIL already given
			C DATA
			S 503 5.5.0 No valid recipients
			C BDAT 3 LAST
			R "QQQ"
			S 503 5.5.0 No valid recipients
			C BDAT 2
			R "QQ"
			S 503 5.5.0 Previous data chunk failed, issue RSET first
			C RSET
			S 250 2.0.0 OK
			C EHLO x
			S 500 5.5.1 Unknown command
			C LHLO
			S 501 Missing hostname`},
		{"DATA after BDAT, RCPT after BDAT", hello + `
			C MAIL FROM:<>
			C RCPT TO:<bob@x>
			S 250 2.1.0 OK
			S 250 2.1.5 OK
			C BDAT 1
			R "a"
			S 250 2.0.0 Added 1 octets
			C DATA
			S 503 5.5.0 Bad sequence of commands
			C RCPT TO:<alice@x>
			S 503 5.5.0 Bad sequence of commands
			C BDAT 0 LAST
			S 250 2.0.0 <bob@x> SID Saved`},
		{"small commands", hello + `
			C noop
			S 250 2.0.0 OK
			C NOOP x
			S 250 2.0.0 OK
			C NOOP x y
			S 501 5.5.4 Invalid parameters
			C VRFY bob
			S 252 2.3.3 Try RCPT instead
			C VRFY
			S 501 5.5.4 Invalid parameters
			C RSET now
			S 501 5.5.4 Invalid parameters
			C AUTH PLAIN x
			S 502 5.5.1 Unsupported command
			C STARTTLS
			S 502 5.5.1 TLS support is not enabled.
			C XCLIENT ADDR=192.0.2.1
			S 550 5.7.14 *
			C
			S 500 5.5.1 Unknown command
			C HELP
			S 500 5.5.1 Unknown command
			R "NOOP\tx\r\n"
			S 500 5.5.2 Invalid command syntax
			R "NOOP\n"
			S 250 2.0.0 OK`},
		{"parameters", hello + `
			C MAIL FROM:<> BODY=BINARYMIME
			S 555 5.5.4 Unsupported mail BODY type
			C MAIL FROM:<> RET=FULL
			S 555 5.5.4 Unsupported parameters
			C MAIL FROM:<> SIZE=1048577
			S 552 5.2.3 *
			C MAIL FROM:<> SIZE=x
			S 501 5.5.4 Invalid parameters
			C MAIL FROM:<ø@x>
			S 553 5.6.7 *
			C MAIL FROM:<a@b> BODY=7BIT BODY=7BIT
			S 501 5.5.4 Invalid parameters
			C MAIL FROM:<a@b>
			S 250 2.1.0 OK
			C RCPT TO:<bob@x> NOTIFY=NEVER
			S 555 5.5.4 Unsupported parameters
			C RCPT TO:<bob@x> ORCPT=x
			S 501 5.5.4 Invalid parameters
			C RCPT TO:<bob@x> XRCPTFORWARD=eA
			S 550 5.7.14 *
			C RCPT TO:<>
			S 501 5.5.4 Invalid parameters
			C RCPT TO:<ø@x>
			S 553 5.6.7 *
			C RSET
			S 250 2.0.0 OK
			C MAIL FROM:<ø@x> SMTPUTF8
			S 250 2.1.0 OK
			C RCPT TO:<ø@x>
			S 250 2.1.5 OK`},
		{"no LHLO is needed, and LHLO ends a transaction", `
			S 220 vm Culver ready.
			C MAIL FROM:<>
			S 250 2.1.0 OK` + strings.Replace(hello, "S 220 vm Culver ready.", "", 1) + `
			C DATA
			S 503 5.5.0 MAIL needed first`},
		{"when all RCPTs fail a pipelined DATA is refused, and no lone dot is read", hello + `
			C MAIL FROM:<>
			C RCPT TO:<nobody@x>
			C DATA
			S 250 2.1.0 OK
			S 550 5.1.1 *
			S 503 5.5.0 No valid recipients`},
		{"a repeated RCPT is answered as often", hello + `
			C MAIL FROM:<>
			C RCPT TO:<bob@x>
			C RCPT TO:<alice@x>
			C RCPT TO:<bob@x>
			C DATA
			S 250 2.1.0 OK
			S 250 2.1.5 OK
			S 250 2.1.5 OK
			S 250 2.1.5 OK
			S 354 OK
			C .
			S 250 2.0.0 <bob@x> SID Saved
			S 250 2.0.0 <alice@x> SID:R2 Saved
			S 250 2.0.0 <bob@x> SID Saved`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			start(t, testOptions(t), "unix", Listener{}).dial().run(tt.script)
		})
	}
}

func TestTheWorkerGetsItsOwnRecipientOnly(t *testing.T) {
	t.Parallel()
	w := start(t, testOptions(t), "unix", Listener{})
	w.dial().run(hello + `
		C MAIL FROM:<a b@c>
		S 501 5.5.4 Invalid parameters
		C MAIL FROM:<"a b"@c> BODY=8BITMIME SMTPUTF8
		C RCPT TO:<@r:Bob+d@x> ORCPT=rfc822;o+2Bo
		C RCPT TO:<alice@x>
		S 250 2.1.0 OK
		S 250 2.1.5 OK
		S 250 2.1.5 OK
		C DATA
		S 354 OK
		C ..stuffed
		R "LF.LF\n.\nCRLF.LF\r\n.\n\x00\xff\r\n"
		C .
		S 250 2.0.0 <Bob+d@x> SID Saved
		S 250 2.0.0 <alice@x> SID:R2 Saved`)
	got := w.got()
	slices.SortFunc(got, func(a, b access) int { return strings.Compare(a.user, b.user) })
	if len(got) != 2 || got[1].user != "bob@x" {
		t.Fatalf("got %+v", got)
	}
	want := "LHLO vm\r\nXCLIENT HELO=mx.example.org PROTO=LMTP SESSION=SID\r\n" +
		"MAIL FROM:<\"a b\"@c> BODY=8BITMIME SMTPUTF8\r\nRCPT TO:<Bob+d@x> ORCPT=rfc822;o+2Bo\r\nXFD 33 LAST\r\nQUIT\r\n"
	commands := sessionOf.ReplaceAllString(got[1].commands, " SESSION=SID")
	if commands != want {
		t.Errorf("commands: got %q, want %q", commands, want)
	}
	if body := ".stuffed\r\nLF.LF\n.\nCRLF.LF\r\n.\n\x00\xff\r\n"; got[1].body != body || got[0].body != body {
		t.Errorf("body: got %q, want %q", got[1].body, body)
	}
	if strings.Contains(sessionOf.ReplaceAllString(got[0].commands, ""), "ob") { // the id is random, and may have anything
		t.Errorf("alice's worker learns of Bob: %q", got[0].commands)
	}
}

func TestAnUnknownRecipientIsLogged(t *testing.T) {
	t.Parallel()
	w := start(t, testOptions(t), "unix", Listener{})
	w.dial().run("S 220 *\nC MAIL FROM:<>\nC RCPT TO:<Nobody+d@y>\nS 250 *\nS 550 5.1.1 <Nobody+d@y> User doesn't exist: Nobody@y")
	if !w.logged("i(Nobody@y)<") || !w.logged("> refused <Nobody+d@y>: User doesn't exist") {
		t.Errorf("got %q", w.logs)
	}
}

func TestTheEleventhBadCommandInARowEndsTheSession(t *testing.T) {
	t.Parallel()
	w := start(t, testOptions(t), "unix", Listener{})
	c := w.dial()
	c.run("S 220 *")
	for range 10 {
		c.run("C X\nS 500 5.5.1 Unknown command")
	}
	c.run("C NOOP\nS 250 2.0.0 OK")
	for range 10 {
		c.run("C X\nS 500 5.5.1 Unknown command")
	}
	c.run("C X\nS 421 4.7.0 vm Too many invalid commands.\nS EOF")
	until(t, "the log line", func() bool { return w.logged("Disconnect from local: Too many invalid commands (state=READY)") })
}

func TestPipelinedRecipientsOfAFailedMailDoNotCount(t *testing.T) {
	t.Parallel()
	c := start(t, testOptions(t), "unix", Listener{}).dial()
	script := hello + "C MAIL FROM:<> NO=GOOD\n"
	for i := range 50 {
		script += fmt.Sprintf("C RCPT TO:<u%d@x>\n", i)
	}
	script += "C DATA\nS 555 5.5.4 Unsupported parameters\n"
	script += strings.Repeat("S 503 5.5.0 MAIL needed first\n", 51)
	c.run(script + "C NOOP\nS 250 2.0.0 OK")
}

func TestLimits(t *testing.T) {
	t.Parallel()
	t.Run("a line", func(t *testing.T) {
		t.Parallel()
		c := start(t, testOptions(t), "unix", Listener{}).dial()
		c.run("S 220 *\nC NOOP " + strings.Repeat("x", 4097) + "\nS 500 5.5.2 Line too long\n" +
			"C " + strings.Repeat("y", 100000) + "\nC NOOP\nS 500 5.5.2 Line too long\nS 250 2.0.0 OK")
	})
	t.Run("recipients", func(t *testing.T) {
		t.Parallel()
		o := testOptions(t)
		o.MaxRecipients = 2
		start(t, o, "unix", Listener{}).dial().run(hello + `
			C MAIL FROM:<>
			C RCPT TO:<a@x>
			C RCPT TO:<b@x>
			C RCPT TO:<c@x>
			S 250 2.1.0 OK
			S 250 2.1.5 OK
			S 250 2.1.5 OK
			S 451 4.5.3 Too many recipients*`)
	})
	t.Run("message size, with DATA and with BDAT", func(t *testing.T) {
		t.Parallel()
		o := testOptions(t)
		o.MaxSize = 10
		begin := "C MAIL FROM:<>\nC RCPT TO:<a@x>\nC RCPT TO:<b@x>\nS 250 *\nS 250 *\nS 250 *\n"
		start(t, o, "unix", Listener{}).dial().run("S 220 *\n" + begin + `
			C DATA
			S 354 OK
			C 123456789
			C .
			S 552 5.2.3 <a@x> Message too big (mail_max_size)
			S 552 5.2.3 <b@x> Message too big (mail_max_size)
			` + begin + `
			C BDAT 6
			R "123456"
			S 250 2.0.0 Added 6 octets
			C BDAT 6
			R "123456"
			S 552 5.2.3 *
			C BDAT 6 LAST
			R "123456"
			S 503 5.5.0 Previous data chunk failed, issue RSET first
			C RSET
			S 250 2.0.0 OK
			` + begin + `
			C BDAT 11 LAST
			R "12345678901"
			S 552 5.2.3 <a@x> *
			S 552 5.2.3 <b@x> *
			` + begin + `
			C BDAT 10 LAST
			R "1234567890"
			S 250 2.0.0 <a@x> *
			S 250 2.0.0 <b@x> *`)
	})
	t.Run("idle", func(t *testing.T) {
		t.Parallel()
		o := testOptions(t)
		o.CommandTimeout = 250e6
		w := start(t, o, "unix", Listener{})
		w.dial().run("S 220 *\nS 421 4.4.2 vm Disconnected for inactivity\nS EOF")
		c := w.dial()
		c.run("S 220 *\nC MAIL FROM:<>\nC RCPT TO:<a@x>\nC DATA\nS 250 *\nS 250 *\nS 354 *\nC half\nS 421 4.4.2 *\nS EOF")
		if len(w.got()) != 0 {
			t.Errorf("half a message was delivered: %v", w.got())
		}
	})
	t.Run("a message that never ends", func(t *testing.T) {
		t.Parallel()
		o := testOptions(t)
		o.transfer = 300e6
		w := start(t, o, "unix", Listener{})
		begin := "S 220 *\nC MAIL FROM:<>\nC RCPT TO:<a@x>\n"
		for _, how := range []string{"C DATA\nS 250 *\nS 250 *\nS 354 *\n", "C BDAT 1000000\nS 250 *\nS 250 *\n",
			"C BDAT 1\nR \"x\"\nS 250 *\nS 250 *\nS 250 *\n"} {
			c := w.dial()
			c.run(begin + how)
			go func() {
				for range 100 { // never silent for lmtp_command_timeout
					if _, err := c.Write([]byte("NOOP\r\n")); err != nil {
						return
					}
					time.Sleep(20 * time.Millisecond)
				}
			}()
			got := c.line()
			for got == "250 2.0.0 OK" {
				got = c.line()
			}
			if want := "421 4.4.2 vm Message took too long"; got != want {
				t.Errorf("%q: got %q, want %q", how, got, want)
			}
			if n := len(w.got()); n != 0 {
				t.Errorf("%q: delivered %d, want none", how, n)
			}
		}
	})
	t.Run("a refused message that goes on", func(t *testing.T) {
		t.Parallel()
		o := testOptions(t)
		o.MaxSize, o.discard = 10, 1000
		w := start(t, o, "unix", Listener{})
		begin := "S 220 *\nC MAIL FROM:<>\nC RCPT TO:<a@x>\nC RCPT TO:<b@x>\n"
		x := strings.Repeat("x", 20000)
		w.dial().run(begin + "C DATA\nS 250 *\nS 250 *\nS 250 *\nS 354 *\nC " + x + `
			S 552 5.2.3 <a@x> *
			S 552 5.2.3 <b@x> *
			S 421 4.7.0 *
			S EOF`)
		w.dial().run(begin + "C BDAT 9000000 LAST\nC " + x + `
			S 250 *
			S 250 *
			S 250 *
			S 552 5.2.3 <a@x> *
			S 552 5.2.3 <b@x> *
			S 421 4.7.0 *
			S EOF`)
		w.dial().run("S 220 *\nC BDAT 9000000\nC " + x + "\nS 503 *\nS 421 4.7.0 *\nS EOF")
		until(t, "an empty budget", func() bool { return w.spooled() == 0 })
	})
	t.Run("a line without an end", func(t *testing.T) {
		t.Parallel()
		c := start(t, testOptions(t), "unix", Listener{}).dial()
		c.run("S 220 *\nR \"" + strings.Repeat("x", lmtpproto.MaxSkip+20000) + "\"\nS 500 5.5.2 Line too long\nS 421 4.7.0 *\nS EOF")
	})
	t.Run("ssl = required without a certificate", func(t *testing.T) {
		t.Parallel()
		o := testOptions(t)
		o.TLSRequired = true
		start(t, o, "tcp", Listener{}).dial().run("S 220 *\nC MAIL FROM:<>\nS 454 4.7.0 *")
	})
}

func TestSessionIDs(t *testing.T) {
	t.Parallel()
	if id := newSessionID(); !idForm.MatchString(id) || id == newSessionID() {
		t.Errorf("got %q", id)
	}
	for _, tt := range []struct {
		transaction, rcpt int
		want              string
	}{{1, 1, ""}, {2, 1, ":T2"}, {1, 3, ":R3"}, {2, 3, ":T2:R3"}} {
		if got := sessionSuffix(tt.transaction, tt.rcpt); got != tt.want {
			t.Errorf("transaction %d, rcpt %d: got %q, want %q", tt.transaction, tt.rcpt, got, tt.want)
		}
	}
}

func TestXCLIENT(t *testing.T) {
	t.Parallel()
	o := testOptions(t)
	o.LoginTrusted = mustPrefix("127.0.0.0/8")
	w := start(t, o, "tcp", Listener{})
	w.dial().run(`
		S 220 *
		C LHLO me
		S 250-vm
		S 250-8BITMIME
		S 250-CHUNKING
		S 250-ENHANCEDSTATUSCODES
		S 250-PIPELINING
		S 250-SIZE 1048576
		S 250-SMTPUTF8
		S 250 XCLIENT ADDR PORT PROTO HELO LOGIN SESSION TTL TIMEOUT
		C XCLIENT ADDR=nonsense
		S 501 5.5.4 *
		C XCLIENT ADDR=192.0.2.9 HELO=mx.remote PROTO=ESMTP PORT=2525 LOGIN=[UNAVAILABLE] SESSION=abc TTL=3 NEW=x
		S 220 vm Culver ready.
		C MAIL FROM:<>
		C RCPT TO:<bob@x>
		S 250 *
		S 250 *
		C XCLIENT ADDR=192.0.2.9
		S 503 5.5.0 *
		C DATA
		S 354 *
		C .
		S 250 2.0.0 <bob@x> abc Saved
		C QUIT
		S 221 *`)
	until(t, "the log line", func() bool { return w.logged("Disconnect from 192.0.2.9: Logged out (state=READY)") })
	want := "XCLIENT ADDR=192.0.2.9 PORT=2525 HELO=mx.remote PROTO=ESMTP SESSION=abc\r\n"
	if got := w.got()[0].commands; !strings.Contains(got, want) {
		t.Errorf("got %q, want %q in it", got, want)
	}
}

func TestTrustGoesByTheRealPeer(t *testing.T) {
	t.Parallel()
	o := testOptions(t)
	o.LoginTrusted = mustPrefix("192.0.2.0/24")
	o.HAProxyTrusted = mustPrefix("127.0.0.1/32")
	t.Run("not by PROXY's", func(t *testing.T) {
		t.Parallel()
		w := start(t, o, "tcp", Listener{HAProxy: true})
		w.dial().run("R \"PROXY TCP4 192.0.2.5 192.0.2.6 1000 24\\r\\n\"\nS 220 *\nC XCLIENT ADDR=1.2.3.4\nS 550 5.7.14 *")
		if !w.logged("Connect from 192.0.2.5") {
			t.Error("PROXY's address is not in the log")
		}
	})
	t.Run("PROXY only from its own networks", func(t *testing.T) {
		t.Parallel()
		o := o
		o.HAProxyTrusted = nil
		w := start(t, o, "tcp", Listener{HAProxy: true})
		w.dial().run("R \"PROXY TCP4 192.0.2.5 192.0.2.6 1000 24\\r\\n\"\nS EOF")
	})
	t.Run("version 2, with a command right behind", func(t *testing.T) {
		t.Parallel()
		w := start(t, o, "tcp", Listener{HAProxy: true})
		c := w.dial()
		c.send("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc6\x33\x64\x07\x01\x02\x03\x04\x10\x00\x00\x18NOOP\r\n")
		c.run("S 220 *\nS 250 2.0.0 OK")
		if !w.logged("Connect from 198.51.100.7") {
			t.Error("PROXY's address is not in the log")
		}
	})
	t.Run("no header", func(t *testing.T) {
		t.Parallel()
		o := o
		o.HAProxyTimeout = 30e6
		start(t, o, "tcp", Listener{HAProxy: true}).dial().run("S EOF")
	})
	t.Run("never over a unix socket", func(t *testing.T) {
		t.Parallel()
		o := o
		o.LoginTrusted = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
		start(t, o, "unix", Listener{}).dial().run("S 220 *\nC XCLIENT ADDR=1.2.3.4\nS 550 5.7.14 *")
	})
}

// TestSmuggling sends what some MTAs pass on unchanged: a second transaction
// behind an end of data that is none. It must stay in the message.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	const second = "MAIL FROM:<evil@x>\r\nRCPT TO:<alice@x>\r\nDATA\r\nforged\r\n"
	for _, end := range []string{"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\r\n.\r\r\n", "\r\n\x00.\r\n"} {
		t.Run(fmt.Sprintf("%q", end), func(t *testing.T) {
			t.Parallel()
			w := start(t, testOptions(t), "unix", Listener{})
			w.dial().run(fmt.Sprintf("S 220 *\nC MAIL FROM:<>\nC RCPT TO:<bob@x>\nC DATA\nS 250 *\nS 250 *\nS 354 *\nR %q\n"+
				"S 250 2.0.0 <bob@x> SID Saved\nC NOOP\nS 250 2.0.0 OK", "innocent"+end+second+".\r\n"))
			got := w.got()
			if len(got) != 1 || got[0].user != "bob@x" || !strings.HasSuffix(got[0].body, second) {
				t.Errorf("got %+v", got)
			}
		})
	}
}
