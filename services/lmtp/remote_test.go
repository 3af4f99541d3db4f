package lmtp

import (
	"bufio"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"
)

// backend plays a server on another host: each script is one connection, in
// which "C text" is what the front must say ("*" at the end: anything more),
// "S text" what it is told, "BYTES n" that many bytes of a message, and "HANG"
// the end of the script with the connection open.
func backend(t *testing.T, scripts ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for _, script := range scripts {
			conn, err := l.Accept()
			if err != nil {
				t.Errorf("fewer connections than scripts: the next would be %.60q", script)
				return
			}
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			play(t, conn, script)
			conn.Close()
		}
		if conn, err := l.Accept(); err == nil {
			t.Error("more connections than scripts")
			conn.Close()
		}
	}()
	return l.Addr().String()
}

var sessionAttribute = regexp.MustCompile(`SESSION=[^ :]+`)

func play(t *testing.T, conn net.Conn, script string) {
	r := bufio.NewReader(conn)
	for raw := range strings.Lines(script) {
		kind, text, _ := strings.Cut(strings.Trim(raw, "\t\n"), " ")
		switch kind {
		case "S":
			io.WriteString(conn, text+"\r\n")
		case "C":
			got, err := r.ReadString('\n')
			got = sessionAttribute.ReplaceAllString(strings.TrimRight(got, "\r\n"), "SESSION=SID")
			if want, open := strings.CutSuffix(text, "*"); got != text && !(open && strings.HasPrefix(got, want)) {
				t.Errorf("backend got %q (%v), want %q", got, err, text)
				return
			}
		case "BYTES":
			n := 0
			fmt.Sscan(text, &n)
			if _, err := io.ReadFull(r, make([]byte, n)); err != nil {
				t.Errorf("backend wanted %d bytes: %v", n, err)
				return
			}
		case "HANG":
			io.Copy(io.Discard, r)
			return
		}
	}
}

// startProxy begins a front that hands the users of the passdb on to address.
func startProxy(t *testing.T, o Options, network, address string, users ...string) *world {
	t.Helper()
	o.ProxyOn = true
	w := start(t, o, network, Listener{})
	w.passdb = map[string]map[string]string{}
	for _, u := range users {
		w.passdb[u] = place(address)
	}
	return w
}

func place(address string, more ...string) map[string]string {
	host, port, _ := net.SplitHostPort(address)
	f := map[string]string{"proxy": "y", "host": host, "port": port}
	for i := 0; i < len(more); i += 2 {
		f[more[i]] = more[i+1]
	}
	return f
}

const (
	plainHello   = "S 220 far\nC LHLO vm\nS 250 far\n"
	wholeMessage = "C DATA\nS 354 *\nC Subject: x\nC .\n"
)

func mailTo(all ...string) string {
	out := "S 220 *\nC MAIL FROM:<a@b>\nS 250 *\n"
	for _, u := range all {
		out += "C RCPT TO:<" + u + ">\n"
	}
	return out
}

func TestRecipientsOfOneHostShareAConnection(t *testing.T) {
	t.Parallel()
	at := backend(t, `
		S 220 far
		C LHLO vm
		S 250-far
		S 250-CHUNKING
		S 250-8BITMIME
		S 250 SIZE
		C MAIL FROM:<a@b> BODY=8BITMIME SIZE=12
		C RCPT TO:<one@x>
		S 250 2.1.0 OK
		S 250 2.1.5 fine
		C RCPT TO:<two@x>
		S 452 4.2.2 <two@x> Mailbox is full
		C RCPT TO:<three@x>
		S 250 fine
		C BDAT 12 LAST
		BYTES 12
		S 250 2.0.0 <one@x> far-away-name Saved
		S 552 5.2.2 <three@x> Quota exceeded
		C MAIL FROM:<>*
		C RCPT TO:<one@x>
		S 250 2.1.0 OK
		S 250 2.1.5 OK
		C BDAT 12 LAST
		BYTES 12
		S 250 2.0.0 OK
		C QUIT`)
	w := startProxy(t, testOptions(t), "unix", at, "one@x", "two@x", "three@x")
	c := w.dial()
	c.run(`
		S 220 *
		C MAIL FROM:<a@b> BODY=8BITMIME SIZE=12
		S 250 *
		C RCPT TO:<one@x>
		S 250 2.1.5 OK
		C RCPT TO:<two@x>
		S 452 4.2.2 <two@x> Mailbox is full
		C RCPT TO:<three@x>
		S 250 2.1.5 OK
		C RCPT TO:<bob@x>
		S 250 2.1.5 OK
		C DATA
		S 354 *
		C Subject: x
		C .
		S 250 2.0.0 <one@x> SID Saved
		S 552 5.2.2 <three@x> Quota exceeded
		S 250 2.0.0 <bob@x> SID:R4 Saved
		C MAIL FROM:<>
		S 250 *
		C RCPT TO:<one@x>
		S 250 *
		C DATA
		S 354 *
		C Subject: y
		C .
		S 250 2.0.0 <one@x> SID:T2 Saved
		C QUIT
		S 221 *`)
	if got := w.got(); len(got) != 1 || got[0].user != "bob@x" {
		t.Errorf("here were delivered %v, want bob's alone", got)
	}
	if !w.logged("Sent message to <three@x> at " + at + ": 552 5.2.2 <three@x> Quota exceeded (2/2") {
		t.Errorf("got %q", w.logs)
	}
}

// TestABurstIsPipelined: the backend greets when all four are known to be its
// own, and answers none before it has the last.
func TestABurstIsPipelined(t *testing.T) {
	t.Parallel()
	users := []string{"one@x", "two@x", "three@x", "four@x"}
	greet := make(chan struct{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w := startProxy(t, testOptions(t), "unix", l.Addr().String(), users...)
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		<-greet
		play(t, conn, plainHello+"C MAIL*\n"+strings.Repeat("C RCPT TO:<*\n", 4)+strings.Repeat("S 250 OK\n", 5)+
			"C DATA\nS 354 go on\nC Subject: x\nC .\n"+strings.Repeat("S 250 OK\n", 4)+"C QUIT")
	}()
	c := w.dial()
	c.run(mailTo(users...))
	until(t, "four in the queue", func() bool {
		w.front.house.mu.Lock()
		defer w.front.house.mu.Unlock()
		for s := range w.front.house.sessions {
			for _, l := range s.legs.all() {
				return l.queued() == 4
			}
		}
		return false
	})
	close(greet)
	c.run(strings.Repeat("S 250 2.1.5 OK\n", 4) + wholeMessage + strings.Repeat("S 250 2.0.0 *\n", 4) + "C QUIT\nS 221 *")
	<-done
}

func (ls *legs) all() (all []*leg) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, l := range ls.to {
		all = append(all, l)
	}
	return all
}

func (l *leg) queued() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue)
}

func TestWhatGoesWrongAtABackend(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, script, want string }{
		{"it is not there", "", "S 451 4.4.0 <one@x> Proxy failed (connect, session=SID)\nS 250 2.1.5 OK\n" + wholeMessage + "S 250 2.0.0 <bob@x> *"},
		{"it refuses all of us", "S 554 5.7.1 go away", "S 451 4.4.0 <one@x> Proxy failed *\nS 250 *\n" + wholeMessage + "S 250 2.0.0 <bob@x> *"},
		{"it refuses the sender", plainHello + "C MAIL*\nC RCPT*\nS 550 5.7.1 no\nS 503 5.5.0 no\n", "S 451 4.4.0 <one@x> Proxy failed *\nS 250 *\n" + wholeMessage + "S 250 2.0.0 <bob@x> *"},
		{"it does not know the user", plainHello + "C MAIL*\nC RCPT*\nS 250 OK\nS 550 5.1.1 <one@x> User doesn't exist\nC QUIT",
			"S 550 5.1.1 <one@x> User doesn't exist\nS 250 *\n" + wholeMessage + "S 250 2.0.0 <bob@x> *\nC QUIT\nS 221 *"},
		{"it blames our commands, which is no reason to bounce", plainHello + "C MAIL*\nC RCPT*\nS 250 OK\nS 502 5.5.1 what?\nC QUIT",
			"S 451 4.4.0 <one@x> *\nS 250 *\n" + wholeMessage + "S 250 2.0.0 <bob@x> *\nC QUIT\nS 221 *"},
		{"it shuts down at the dot", plainHello + "C MAIL*\nC RCPT*\nS 250 OK\nS 250 OK\nC DATA\nS 354 x\nC Subject: x\nC .\nS 421 4.3.2 closing\nC QUIT",
			"S 250 *\nS 250 *\n" + wholeMessage + "S 451 4.4.0 <one@x> *\nS 250 2.0.0 <bob@x> *\nC QUIT\nS 221 *"},
		{"it dies after the dot", plainHello + "C MAIL*\nC RCPT*\nS 250 OK\nS 250 OK\nC DATA\nS 354 x\nC Subject: x\nC .\n",
			"S 250 *\nS 250 *\n" + wholeMessage + "S 451 4.4.0 <one@x> Proxy failed (waiting for reply to DATA*\nS 250 2.0.0 <bob@x> *"},
		{"it answers with an endless line", plainHello + "C MAIL*\nC RCPT*\nS 250 OK\nS 250 " + strings.Repeat("x", 5000), "S 451 4.4.0 <one@x> *\nS 250 *\n" + wholeMessage + "S 250 2.0.0 <bob@x> *"},
		{"it is silent after the dot", plainHello + "C MAIL*\nC RCPT*\nS 250 OK\nS 250 OK\nC DATA\nS 354 x\nC Subject: x\nC .\nHANG",
			"S 250 *\nS 250 *\n" + wholeMessage + "S 451 4.4.0 <one@x> Remote server not answering (waiting for reply to DATA)\nS 250 2.0.0 <bob@x> *"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			at := "127.0.0.1:1"
			if tt.script != "" {
				at = backend(t, tt.script)
			}
			w := startProxy(t, testOptions(t), "unix", at)
			w.passdb["one@x"] = place(at, "proxy_timeout", "500ms")
			w.dial().run(mailTo("one@x", "bob@x") + tt.want)
		})
	}
}

func TestABackendThatHasHungUpBetweenMessagesIsCalledAgain(t *testing.T) {
	t.Parallel()
	one := plainHello + "C MAIL*\nC RCPT*\nS 250 OK\nS 250 OK\nC DATA\nS 354 x\nC Subject: x\nC .\nS 250 OK\n"
	at := backend(t, one, one+"C QUIT")
	w := startProxy(t, testOptions(t), "unix", at, "one@x")
	c := w.dial()
	again := "C MAIL FROM:<a@b>\nS 250 *\nC RCPT TO:<one@x>\nS 250 2.1.5 OK\n" + wholeMessage + "S 250 2.0.0 *\n"
	c.run("S 220 *\n" + again + again + "C QUIT\nS 221 *")
}

func TestTheBackendIsToldWhoTheClientIs(t *testing.T) {
	t.Parallel()
	rest := "S 220 far\nC LHLO vm\nS 250 far\nC MAIL*\nC RCPT*\nS 250 OK\nS 250 OK\nC QUIT"
	for _, tt := range []struct{ name, script, before, field string }{
		{"as far as it asks", "S 220 far\nC LHLO vm\nS 250-far\nS 250 XCLIENT ADDR SESSION TTL\nC XCLIENT SESSION=SID:P1 TTL=4 ADDR=127.0.0.1\n" + rest, "", ""},
		{"and who told us", "S 220 far\nC LHLO vm\nS 250-far\nS 250 XCLIENT ADDR PORT TTL HELO LOGIN TIMEOUT\nC XCLIENT LOGIN=me TTL=2 ADDR=IPV6:2001:db8::7 PORT=99 TIMEOUT=60\n" + rest,
			"C XCLIENT ADDR=IPV6:2001:db8::7 PORT=99 TTL=3 LOGIN=me TIMEOUT=60\nS 220 *\n", ""},
		{"unless the passdb does not trust it", "S 220 far\nC LHLO vm\nS 250-far\nS 250 XCLIENT ADDR\nC MAIL*\nC RCPT*\nS 250 OK\nS 250 OK\nC QUIT", "", "proxy_not_trusted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := testOptions(t)
			o.LoginTrusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
			at := backend(t, tt.script)
			w := startProxy(t, o, "tcp", at)
			w.passdb["one@x"] = place(at, tt.field, "yes")
			w.dial().run("S 220 *\n" + tt.before + "C MAIL FROM:<>\nS 250 *\nC RCPT TO:<one@x>\nS 250 *\nC QUIT\nS 221 *")
		})
	}
}

func TestLoopsEnd(t *testing.T) {
	t.Parallel()
	o := testOptions(t)
	o.LoginTrusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	w := startProxy(t, o, "tcp", "127.0.0.1:1", "far@x")
	own := w.addr.String()
	w.mu.Lock()
	w.passdb["self@x"] = place(own)
	w.passdb["maybe@x"] = place(own)
	w.passdb["maybe@x"]["proxy_maybe"] = "yes"
	delete(w.passdb["maybe@x"], "proxy")
	w.mu.Unlock()
	w.dial().run(mailTo("self@x", "maybe@x") + "S 451 4.4.6 <self@x> Proxying appears to be looping\nS 250 2.1.5 OK")
	w.dial().run("S 220 *\nC XCLIENT TTL=0\nS 220 *\nC MAIL FROM:<>\nC RCPT TO:<far@x>\nC RCPT TO:<bob@x>\nS 250 *\nS 451 4.4.6 <far@x> *\nS 250 2.1.5 OK")
}

func TestWhoIsWhere(t *testing.T) {
	t.Parallel()
	w := startProxy(t, testOptions(t), "unix", "127.0.0.1:1")
	w.passdb["here@x"] = map[string]string{"user": "here@x"}
	w.passdb["nowhere@x"] = map[string]string{"proxy": "y"}
	w.passdb["wrong@x"] = place("127.0.0.1:1", "ssl", "perhaps")
	w.dial().run(mailTo("here@x", "nowhere@x", "wrong@x", "down@x", "nobody@x") + `
		S 250 2.1.5 OK
		S 451 4.3.0 <nowhere@x> Temporary internal error
		S 451 4.3.0 <wrong@x> Temporary internal error
		S 451 4.3.0 <down@x> Temporary internal error
		S 550 5.1.1 <nobody@x> *`)
}

func TestDestuserHasTheOriginalBesideIt(t *testing.T) {
	t.Parallel()
	at := backend(t, "S 220 far\nC LHLO vm\nS 250-far\nS 250 DSN\nC MAIL*\nC RCPT TO:<other@y> ORCPT=rfc822;one+2Bdetail@x\nS 250 OK\nS 250 OK\nC QUIT")
	w := startProxy(t, testOptions(t), "unix", at)
	w.passdb["one@x"] = place(at, "destuser", "other@y")
	w.dial().run("S 220 *\nC MAIL FROM:<>\nS 250 *\nC RCPT TO:<one+detail@x>\nS 250 2.1.5 OK\nC QUIT\nS 221 *")
}

func TestOneReplyOfSMTPIsForAll(t *testing.T) {
	t.Parallel()
	at := backend(t, "S 220 far\nC EHLO vm\nS 250 far\nC MAIL*\nC RCPT*\nS 250 OK\nS 250 OK\nC RCPT*\nS 250 OK\nC DATA\nS 354 x\nC Subject: x\nC .\nS 250 2.0.0 queued\nC QUIT")
	w := startProxy(t, testOptions(t), "unix", at)
	w.passdb["one@x"] = place(at, "protocol", "smtp")
	w.passdb["two@x"] = w.passdb["one@x"]
	w.dial().run("S 220 *\nC MAIL FROM:<>\nS 250 *\nC RCPT TO:<one@x>\nS 250 *\nC RCPT TO:<two@x>\nS 250 *\n" + wholeMessage + "S 250 2.0.0 <one@x> SID Saved\nS 250 2.0.0 <two@x> SID:R2 Saved\nC QUIT\nS 221 *")
}

func TestTLSToABackend(t *testing.T) {
	t.Parallel()
	// The backend is another front, whose certificate is for "vm".
	o := testOptions(t)
	o.TLS = certificate(t)
	authority := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: o.TLS.Certificates[0].Certificate[0]}))
	behind := start(t, o, "tcp", Listener{})
	implicit := start(t, o, "tcp", Listener{SSL: true})
	clear := start(t, testOptions(t), "tcp", Listener{})
	for _, tt := range []struct {
		name  string
		to    *world
		host  string
		field string
		value string
		want  string
	}{
		{"by STARTTLS", behind, "vm", "starttls", "yes", "S 250 2.1.5 OK"},
		{"from the first byte", implicit, "vm", "ssl", "yes", "S 250 2.1.5 OK"},
		{"another name in the certificate", behind, "other.example", "starttls", "yes", "S 451 4.4.0 *"},
		{"another name, and nobody cares", behind, "other.example", "starttls", "any-cert", "S 250 2.1.5 OK"},
		{"STARTTLS was stripped", clear, "vm", "starttls", "yes", "S 451 4.4.0 *"},
		{"STARTTLS was stripped, and any certificate would do", clear, "vm", "starttls", "any-cert", "S 451 4.4.0 *"},
		{"no TLS where it should begin at once", clear, "vm", "ssl", "any-cert", "S 451 4.4.0 *"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := testOptions(t)
			o.Authorities = authority
			w := startProxy(t, o, "unix", tt.to.addr.String())
			f := place(tt.to.addr.String(), tt.field, tt.value, "proxy_timeout", "5s")
			f["hostip"], f["host"] = f["host"], tt.host
			w.passdb["one@x"] = f
			w.dial().run("S 220 *\nC MAIL FROM:<>\nS 250 *\nC RCPT TO:<one@x>\n" + tt.want)
		})
	}
}
