package lmtp

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"culver/internal/handoff"
)

func TestDisconnects(t *testing.T) {
	t.Parallel()
	t.Run("before the dot: nothing is delivered", func(t *testing.T) {
		t.Parallel()
		w := start(t, testOptions(t), "unix", Listener{})
		c := w.dial()
		c.run("S 220 *\nC MAIL FROM:<>\nC RCPT TO:<bob@x>\nC DATA\nS 250 *\nS 250 *\nS 354 *\nC half")
		c.Close()
		until(t, "the log line", func() bool {
			return w.logged("Disconnect from local: Connection closed (unfinished DATA command) (state=DATA)")
		})
		until(t, "an empty budget", func() bool { return w.spooled() == 0 })
		if n := len(w.got()); n != 0 {
			t.Errorf("delivered %d, want none", n)
		}
	})
	t.Run("after the dot: all is delivered", func(t *testing.T) {
		t.Parallel()
		w := start(t, testOptions(t), "unix", Listener{})
		gone := make(chan struct{})
		for _, u := range []string{"bob@x", "alice@x"} {
			w.play[u] = func(k *fakeWorker) { <-gone; k.good() }
		}
		c := w.dial()
		c.run("S 220 *" + two("bob@x", "alice@x"))
		c.Close()
		close(gone)
		until(t, "both deliveries", func() bool { return len(w.got()) == 2 })
	})
}

// dribble sends a byte now and then, so that the client is never silent.
func dribble(c io.Writer, b string) {
	for {
		if _, err := io.WriteString(c, b); err != nil {
			return
		}
		<-time.After(2 * time.Millisecond)
	}
}

func TestADribbleIsNotLife(t *testing.T) {
	t.Parallel()
	o := testOptions(t)
	o.CommandTimeout, o.grace = 100*time.Millisecond, 50*time.Millisecond
	o.TLS = certificate(t)
	t.Run("of a command", func(t *testing.T) {
		t.Parallel()
		w := start(t, o, "unix", Listener{})
		c := w.dial()
		c.run("S 220 *")
		go dribble(c.Conn, "x")
		c.run("S 421 4.4.2 vm Command took too long")
	})
	t.Run("of a TLS record", func(t *testing.T) {
		t.Parallel()
		w := start(t, o, "tcp", Listener{SSL: true})
		c := w.dial()
		raw := c.Conn
		c = c.secure()
		c.run("S 220 *")
		io.WriteString(raw, "\x17\x03\x03\x20\x00") // the head of one with 8 KiB
		go dribble(raw, "x")
		c.run("S 421 4.4.2 vm Command took too long")
	})
	t.Run("of a handshake", func(t *testing.T) {
		t.Parallel()
		w := start(t, o, "tcp", Listener{SSL: true})
		c := w.dial()
		io.WriteString(c.Conn, "\x16\x03\x01\x20\x00")
		go dribble(c.Conn, "x")
		until(t, "the log line", func() bool { return w.logged("refused: ") })
	})
	t.Run("but a slow client between commands is", func(t *testing.T) {
		t.Parallel()
		w := start(t, o, "unix", Listener{})
		c := w.dial()
		c.run("S 220 *")
		for range 8 { // longer in all than one command may take
			<-time.After(25 * time.Millisecond)
			c.run("C NOOP\nS 250 2.0.0 OK")
		}
	})
}

func TestClientLimitIsAReplyAndNoReset(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			o := testOptions(t)
			o.ClientLimit = 1
			w := start(t, o, network, Listener{})
			first := w.dial()
			first.run("S 220 *")
			second := w.dial()
			second.send("LHLO early\r\n") // unread bytes are what makes a close a reset
			second.run("S 421 4.3.2 vm Too many sessions, try again later (client_limit)\nS EOF")
			first.run("C QUIT\nS 221 *\nS EOF")
			until(t, "room", func() bool {
				c, err := net.Dial(w.addr.Network(), w.addr.String())
				if err != nil {
					return false
				}
				defer c.Close()
				line, _ := bufio.NewReader(c).ReadString('\n')
				return strings.HasPrefix(line, "220 ")
			})
		})
	}
}

func TestStopping(t *testing.T) {
	t.Parallel()
	t.Run("DATA in progress is finished, idle sessions are told", func(t *testing.T) {
		t.Parallel()
		w := start(t, testOptions(t), "unix", Listener{})
		idle, busy := w.dial(), w.dial()
		idle.run("S 220 *")
		busy.run("S 220 *\nC MAIL FROM:<>\nC RCPT TO:<bob@x>\nC DATA\nS 250 *\nS 250 *\nS 354 *")
		w.front.Stop()
		idle.run("S 421 4.3.2 vm Shutting down\nS EOF")
		busy.run("C .\nS 250 2.0.0 <bob@x> SID Saved\nS 421 4.3.2 vm Shutting down\nS EOF")
		idle.Close()
		busy.Close()
		<-w.served
	})
	t.Run("on Drain a busy session goes on", func(t *testing.T) {
		t.Parallel()
		w := start(t, testOptions(t), "unix", Listener{})
		c := w.dial()
		c.run("S 220 *")
		drain := handoff.Message{Kind: handoff.KindDrain}
		if err := w.master.Send(drain.Append(nil), -1); err != nil {
			t.Fatal(err)
		}
		until(t, "drain", func() bool { return w.front.house.drainSince.Load() != 0 })
		c.run("C MAIL FROM:<>\nC RCPT TO:<bob@x>\nC DATA\nS 250 *\nS 250 *\nS 354 *\nC .\nS 250 *\nS 421 4.3.2 vm Shutting down\nS EOF")
		c.Close()
		<-w.served
	})
	t.Run("when the master is gone the transaction ends with 451", func(t *testing.T) {
		t.Parallel()
		w := start(t, testOptions(t), "unix", Listener{})
		c := w.dial()
		c.run("S 220 *\nC MAIL FROM:<>\nC RCPT TO:<bob@x>\nC DATA\nS 250 *\nS 250 *\nS 354 *")
		w.stop()
		until(t, "stop", w.front.house.stopping.Load)
		c.run("C .\nS 451 4.3.0 <bob@x> Temporary internal error\nS 421 4.3.2 *\nS EOF")
		c.Close()
		<-w.served
	})
}

func TestReportTellsTheRoomLeft(t *testing.T) {
	t.Parallel()
	o := testOptions(t)
	o.ClientLimit = 2
	w := start(t, o, "unix", Listener{})
	told := make(chan [2]int, 10)
	go w.front.Report(func(a, s int) error { told <- [2]int{a, s}; return nil })
	if got := <-told; got != [2]int{2, 0} {
		t.Errorf("got %v, want 2 free and 0 served", got)
	}
	c := w.dial()
	c.run("S 220 *")
	if got := <-told; got != [2]int{1, 0} {
		t.Errorf("got %v, want 1 free and 0 served", got)
	}
	c.run("C QUIT\nS 221 *\nS EOF")
	if got := <-told; got != [2]int{2, 1} {
		t.Errorf("got %v, want 2 free and 1 served", got)
	}
}

// certificate is one for the test, made in it.
func certificate(t *testing.T) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"vm"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
}

var anyCertificate = &tls.Config{InsecureSkipVerify: true}

// secure continues the client over TLS.
func (c *testClient) secure() *testClient {
	s := tls.Client(c.Conn, anyCertificate)
	if err := s.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	return &testClient{c.t, s, bufio.NewReader(s)}
}

func TestSTARTTLS(t *testing.T) {
	t.Parallel()
	o := testOptions(t)
	o.TLS = certificate(t)
	t.Run("forgets what was said before", func(t *testing.T) {
		t.Parallel()
		w := start(t, o, "unix", Listener{})
		c := w.dial()
		c.run(strings.Replace(hello, "S 250 SMTPUTF8", "S 250-SMTPUTF8\nS 250 STARTTLS", 1) + `
			C STARTTLS now
			S 501 5.5.4 Invalid parameters
			C MAIL FROM:<>
			S 250 *
			C STARTTLS
			S 220 2.0.0 Begin TLS negotiation now.`)
		c = c.secure()
		c.run("C STARTTLS\nS 502 5.5.1 TLS is already active.\nC MAIL FROM:<>\nC RCPT TO:<bob@x>\nC DATA\nS 250 *\nS 250 *\nS 354 *\nC .\nS 250 *\nC QUIT\nS 221 *\nS EOF")
		want := " TLS=(using+20TLSv1.3+20with+20cipher+20TLS_AES_128_GCM_SHA256+20(128/128+20bits))"
		if got := w.got()[0].commands; !strings.Contains(got, want) || strings.Contains(got, "HELO") {
			t.Errorf("got %q, want %q and no HELO", got, want)
		}
	})
	t.Run("bytes in the clear behind it end the session", func(t *testing.T) {
		t.Parallel()
		w := start(t, o, "unix", Listener{})
		w.dial().run("S 220 *\nR \"STARTTLS\\r\\nMAIL FROM:<evil@x>\\r\\n\"\nS EOF")
		until(t, "the log line", func() bool { return w.logged("Plaintext after STARTTLS") })
	})
	t.Run("a listener with ssl begins with it", func(t *testing.T) {
		t.Parallel()
		w := start(t, o, "tcp", Listener{SSL: true})
		w.dial().secure().run("S 220 *\nC NOOP\nS 250 *")
	})
	t.Run("ssl = required refuses MAIL over the network in the clear", func(t *testing.T) {
		t.Parallel()
		o := o
		o.TLSRequired = true
		start(t, o, "tcp", Listener{}).dial().run("S 220 *\nC MAIL FROM:<>\nS 530 5.7.0 *")
	})
}

// TestAForeignClient speaks through somebody else's idea of LMTP.
func TestAForeignClient(t *testing.T) {
	t.Parallel()
	w := start(t, testOptions(t), "unix", Listener{})
	conn, err := net.Dial("unix", w.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	c := smtp.NewClientLMTP(conn)
	defer c.Close()
	if err := c.Mail("a@b", &smtp.MailOptions{Size: 5}); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"bob@x", "evil@x"} {
		if err := c.Rcpt(to, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Rcpt("nobody@x", nil); err == nil {
		t.Error("nobody@x was taken")
	}
	w.mu.Lock()
	w.play["evil@x"] = says("what?\r\n")
	w.mu.Unlock()
	body, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	body.Write([]byte(".dot\r\n..dots\r\n"))
	saved, err := body.CloseWithLMTPResponse()
	var refused smtp.LMTPDataError
	if !errors.As(err, &refused) || len(refused) != 1 || refused["evil@x"].Code != 451 || saved["bob@x"] == nil {
		t.Errorf("got %v, %v, want bob@x saved and evil@x's 451", saved, err)
	}
	for _, a := range w.got() {
		if !bytes.Equal([]byte(a.body), []byte(".dot\r\n..dots\r\n")) {
			t.Errorf("%s got %q", a.user, a.body)
		}
	}
	if err := c.Quit(); err != nil {
		t.Error(err)
	}
}
