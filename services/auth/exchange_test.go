package auth

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"culver/internal/authproto"
	"culver/services/auth/penalty"
)

// TestRequests has the transcripts of spec/auth.md 1.9 and points 3, 4 and 6 of
// its checklist: what a client of that minor says, and all it is answered. A
// "-" ends what is said until all before it is answered.
func TestRequests(t *testing.T) {
	t.Parallel()
	ok := plain("", "alice", "pw")
	ask := func(id int, rest string) string { return fmt.Sprintf("AUTH\t%d\tPLAIN\tservice=smtp\t%s", id, rest) }
	resp := func(id int, user string) string { return ask(id, "resp="+plain("", user, "pw")) }
	for _, tt := range []struct {
		name      string
		role      string
		minor     int
		say, want string
		took      time.Duration
	}{
		{"PLAIN with an initial response", "auth", 2,
			"AUTH\t1\tPLAIN\tservice=smtp\tnologin\tlip=192.0.2.1\trip=192.0.2.9\tsecured\tresp=" + ok,
			"OK\t1\tuser=alice\ttag=x", 0},
		{"as Postfix says it", "auth", 0,
			"AUTH\t1\tPLAIN\tservice=smtp\tnologin\tlip=127.0.0.1\trip=127.0.0.1\tresp=" + ok + "\n-\nAUTH\t2\tPLAIN\tservice=smtp\tresp=" + ok,
			"OK\t1\tuser=alice\ttag=x\nOK\t2\tuser=alice\ttag=x", 0},
		{"as Exim says it", "auth", 0,
			"AUTH\t1\tPLAIN\tservice=smtp\tsecured\tvalid-client-cert\trip=192.0.2.9\tlip=192.0.2.1\tnologin\tresp=\n-\nCONT\t1\t" + ok,
			"CONT\t1\t\nOK\t1\tuser=alice\ttag=x", 0},
		{"as Dovecot's imap-login says it", "login", 2,
			"AUTH\t1\tPLAIN\tservice=imap\tsecured\tsession=SHaGvPNgAAAAAAAA\tresp=" + ok, "OK\t1\tuser=alice\ttag=x", 0},
		{"a wrong password, two seconds later", "auth", 2,
			ask(2, "resp="+plain("", "Alice", "wrong")), "FAIL\t2\tuser=alice", 2 * time.Second},
		{"no initial response", "auth", 2, ask(3, "no-penalty") + "\n-\nCONT\t3\t" + ok, "CONT\t3\t\nOK\t3\tuser=alice\ttag=x", 0},
		{"LOGIN", "auth", 2, "AUTH\t4\tLOGIN\tservice=smtp\n-\nCONT\t4\t" + b64("alice") + "\n-\nCONT\t4\t" + b64("pw"),
			"CONT\t4\tVXNlcm5hbWU6\nCONT\t4\tUGFzc3dvcmQ6\nOK\t4\tuser=alice\ttag=x", 0},
		{"LOGIN with the name at once", "auth", 0, "AUTH\t4\tLOGIN\tservice=smtp\tresp=" + b64("alice") + "\n-\nCONT\t4\t" + b64("pw"),
			"CONT\t4\tUGFzc3dvcmQ6\nOK\t4\tuser=alice\ttag=x", 0},
		{"a name that auth changed", "auth", 2, resp(13, "BOB"), "OK\t13\tuser=bob\toriginal_user=BOB", 0},
		{"a master user", "auth", 2, ask(17, "resp="+plain("alice", "boss", "pw")),
			"OK\t17\tuser=alice\toriginal_user=boss\tauth_user=boss", 0},
		{"a master user, the target missing", "auth", 2, ask(3, "resp="+plain("nosuch", "boss", "pw")),
			"FAIL\t3\tuser=nosuch\tnodelay\tcode=authz_fail", 0},
		{"a disabled user", "auth", 2, resp(5, "off"), "FAIL\t5\tuser=off\tcode=user_disabled", 2 * time.Second},
		{"nodelay", "auth", 2, ask(5, "resp="+plain("", "quick", "x")), "FAIL\t5\tuser=quick\tnodelay", 0},
		{"resp that is not base64", "auth", 2, ask(5, "resp=***"), "FAIL\t5\tcode=invalid_base64\treason=Invalid base64 data in initial response", 0},
		{"resp without its padding", "auth", 2, ask(5, "resp="+strings.TrimRight(plain("", "al", "pw!!"), "=")),
			"FAIL\t5\tcode=invalid_base64\treason=Invalid base64 data in initial response", 0},
		{"nologin has no use for a mail server", "auth", 0, resp(5, "nolog"), "FAIL\t5\tuser=nolog\treason=go away", 0},
		{"nologin without a reason", "auth", 2, resp(5, "quiet"), "FAIL\t5\tuser=quiet\treason=Login is disabled", 0},
		{"nologin is told to a login process", "login", 2, resp(5, "nolog"), "OK\t5\tuser=nolog\tnologin\treason=go away", 0},
		{"no other host's password for a mail server", "auth", 2, resp(9, "remote"),
			"FAIL\t9\tuser=remote\treason=Log in at this user's own server", 0},
		{"a login process gets it", "login", 2, resp(9, "remote"),
			"OK\t9\tuser=remote\tproxy\thost=127.0.0.9\tport=1430\tpass=remotepw", 0},
		{"final-resp-ok", "auth", 2, "AUTH\t1\tSCRAM-SHA-256\tservice=smtp\tfinal-resp-ok\tresp=" + b64("alice"),
			"OK\t1\tuser=alice\ttag=x\tresp=dj1wcm9vZg==", 0},
		{"the last data as a challenge", "auth", 0, "AUTH\t2\tSCRAM-SHA-256\tservice=smtp\tresp=" + b64("alice") + "\n-\nCONT\t2\t",
			"CONT\t2\tdj1wcm9vZg==\nOK\t2\tuser=alice\ttag=x", 0},
		{"an answer to the last data that says something", "auth", 2, "AUTH\t2\tSCRAM-SHA-256\tservice=smtp\tresp=" + b64("alice") + "\n-\nCONT\t2\teA==",
			"CONT\t2\tdj1wcm9vZg==\nFAIL\t2", 2 * time.Second},
		{"channel binding", "auth", 3, "AUTH\t2\tSCRAM-SHA-256-PLUS\tservice=smtp\tresp=eA==\n-\nCONT\t2\teA==\tchannel_binding=" + b64("right"),
			"CONT\t2\tYw==\tchannel_binding=tls-exporter\nOK\t2\tuser=alice\ttag=x", 0},
		{"no channel binding below minor 3", "auth", 2, "AUTH\t2\tSCRAM-SHA-256-PLUS\tservice=smtp\tresp=eA==",
			"FAIL\t2\treason=Unsupported authentication mechanism", 0},

		{"protocol= of 2.4 is service=", "auth", 4, "AUTH\t1\tPLAIN\tprotocol=imap\tresp=" + plain("", "told", "pw"),
			"OK\t1\tuser=told\trip=\tlport=\tsecured=\tcert=\tservice=imap\treal=", 0},
		{"all that is told reaches the judge", "login", 2,
			"AUTH\t1\tPLAIN\tservice=smtp\tsecured=tls\tvalid-client-cert\trip=2001:DB8::1\tlport=0025\treal_rip=::ffff:192.0.2.1\tresp=" + plain("", "told", "pw"),
			"OK\t1\tuser=told\trip=2001:db8::1\tlport=25\tsecured=TLS\tcert=valid\tservice=smtp\treal=192.0.2.1", 0},
		{"what is no address or port is ignored, and so is what is unknown", "login", 2,
			"AUTH\t1\tPLAIN\tservice=smtp\trip=x\tlport=99999\tfoo\tbar=1\ttransport=TLS\tresp=" + plain("", "told", "pw"),
			"OK\t1\tuser=told\trip=\tlport=\tsecured=\tcert=\tservice=smtp\treal=", 0},
		{"forward_fields", "login", 2, "AUTH\t1\tPLAIN\tservice=x\tforward_fields=a=1\x01tb=2\x011t3\tresp=" + plain("", "forwarded", "pw"),
			"OK\t1\tuser=forwarded\tforward_a=1\tforward_b=2\x01t3", 0},
		{"escapes", "auth", 2, "AUTH\t1\tPL\x01AIN\tservice=\x01t\tresp=" + ok, "OK\t1\tuser=alice\ttag=x", 0},
		{"CRLF", "auth", 2, "AUTH\t1\tPLAIN\tservice=x\tresp=" + ok + "\r", "OK\t1\tuser=alice\ttag=x", 0},
		{"the mechanism's name in any case", "auth", 2, "AUTH\t1\tplain\tservice=x\tresp=" + ok, "OK\t1\tuser=alice\ttag=x", 0},
		{"an empty service", "auth", 2, "AUTH\t1\tPLAIN\tservice=\tresp=" + ok, "OK\t1\tuser=alice\ttag=x", 0},
		{"empty resp= is none for minor 0", "auth", 0, ask(1, "resp="), "CONT\t1\t", 0},
		{"empty resp= is none for minor 1", "auth", 1, ask(1, "resp="), "CONT\t1\t", 0},
		{"bare resp is none for minor 1", "auth", 1, ask(1, "resp"), "CONT\t1\t", 0},
		{"empty resp= is a response for minor 2", "auth", 2, ask(1, "resp="), "FAIL\t1", 2 * time.Second},
		{"resp== is one of no bytes", "auth", 2, ask(1, "resp=="), "FAIL\t1", 2 * time.Second},
		{"empty data of CONT", "auth", 2, ask(1, "") + "\n-\nCONT\t1\t", "CONT\t1\t\nFAIL\t1", 2 * time.Second},

		{"no such mechanism", "auth", 2, "AUTH\t1\tGSSAPI\tservice=x\n" + resp(2, "alice"),
			"FAIL\t1\treason=Unsupported authentication mechanism\nOK\t2\tuser=alice\ttag=x", 0},
		{"no service", "auth", 2, "AUTH\t1\tPLAIN\tresp=" + ok, "FAIL\t1\treason=No service given", 0},
		{"something after resp", "auth", 2, ask(1, "resp="+ok+"\tsecured"), "FAIL\t1\treason=Parameters after resp", 0},
		{"an id of two requests is neither's", "auth", 2, ask(1, "") + "\n-\n" + resp(1, "alice") + "\nCONT\t1\t" + ok,
			"CONT\t1\t\nFAIL\t1\treason=Two requests of one id\nFAIL\t1\treason=Authentication request timed out", 0},
		{"an id again after its answer", "login", 2, resp(1, "alice") + "\n-\n" + resp(1, "alice"), "OK\t1\tuser=alice\ttag=x\nOK\t1\tuser=alice\ttag=x", 0},
		{"an id is free while its refusal waits", "auth", 2, ask(1, "resp="+plain("", "bob", "x")) + "\n~\n" + resp(1, "alice"),
			"OK\t1\tuser=alice\ttag=x\nFAIL\t1\tuser=bob", 2 * time.Second},
		{"a good login after a bad one is answered first", "auth", 2, ask(1, "resp="+plain("", "bob", "x")) + "\n" + resp(2, "alice"),
			"OK\t2\tuser=alice\ttag=x\nFAIL\t1\tuser=bob", 2 * time.Second},
		{"CONT that nobody asked for", "auth", 2, ask(1, "resp="+plain("", "slow", "pw")) + "\nCONT\t1\t" + ok,
			"FAIL\t1\treason=Unexpected continuation", 0},
		{"CONT of no request", "auth", 2, "CONT\t9\t" + ok, "FAIL\t9\treason=Authentication request timed out", 0},
		{"CONT that is not base64", "auth", 2, ask(1, "") + "\n-\nCONT\t1\t*", "CONT\t1\t\nFAIL\t1\tcode=invalid_base64\treason=Invalid base64 data in continued response", 0},
		{"CANCEL below minor 4 says nothing", "auth", 3, ask(1, "") + "\n-\nCANCEL\t1\nCONT\t1\t" + ok,
			"CONT\t1\t\nFAIL\t1\treason=Authentication request timed out", 0},
		{"CANCEL of minor 4", "auth", 4, ask(1, "") + "\n-\nCANCEL\t1\nCANCEL\t7", "CONT\t1\t\nCANCELLED\t1\nCANCELLED\t7", 0},
		{"CANCEL of a refusal that waits", "auth", 4, ask(1, "resp="+plain("", "bob", "x")) + "\n~\nCANCEL\t1\n" + resp(2, "alice"),
			"CANCELLED\t1\nOK\t2\tuser=alice\ttag=x", 0},
		{"a failure of a source", "auth", 2, resp(1, "down") + "\n" + resp(2, "alice"),
			"OK\t2\tuser=alice\ttag=x\nFAIL\t1\tuser=down\tcode=temp_fail\treason=Temporary authentication failure", 2 * time.Second},
		{"whatever is unforeseen is one", "auth", 2, resp(1, "odd"), "FAIL\t1\tcode=temp_fail\treason=Temporary authentication failure", 2 * time.Second},
		{"below minor 2 it ends the connection: Postfix makes 454 of that", "auth", 0, resp(1, "down"), "EOF", 0},
		{"what runs beside it is answered first", "auth", 0, ask(1, "resp="+plain("", "bob", "x")) + "\n" + resp(2, "down"),
			"FAIL\t1\tuser=bob\nEOF", 0},
		{"a slow source is one, in time for Postfix", "auth", 1, resp(1, "slow"), "EOF", 7 * time.Second},

		{"fourteen parameters and no more for Exim", "auth", 1, resp(1, "large"), "OK\t1\tuser=large\t" + strings.Join(many(13), "\t"), 0},
		{"all for others", "auth", 2, resp(1, "large"), "OK\t1\tuser=large\t" + strings.Join(many(253), "\t"), 0},
		{"8 KiB and no more for Exim", "auth", 0, resp(1, "long"), "OK\t1\tuser=long", 0},
		{"16 KiB and no more for others", "auth", 2, resp(1, "huge"), "OK\t1\tuser=huge", 0},

		{"an empty line", "auth", 2, "", "EOF", 0},
		{"a command in small letters", "auth", 2, "auth\t1\tPLAIN\tservice=x", "EOF", 0},
		{"a command of the master protocol", "auth", 2, "USER\t1\talice\tservice=x", "EOF", 0},
		{"id 0", "auth", 2, ask(0, ""), "EOF", 0},
		{"an id too large", "auth", 2, "AUTH\t4294967296\tPLAIN\tservice=x", "EOF", 0},
		{"the largest id", "auth", 2, "AUTH\t4294967295\tPLAIN\tservice=x\tresp=" + ok, "OK\t4294967295\tuser=alice\ttag=x", 0},
		{"CONT without data", "auth", 2, ask(1, "") + "\n-\nCONT\t1", "CONT\t1\t\nEOF", 0},
		{"CANCEL of no number", "auth", 2, "CANCEL\tx", "EOF", 0},
		{"the longest line", "auth", 2, pad(ask(1, "session="), "\tresp="+ok, authproto.MaxLoginLine-1), "OK\t1\tuser=alice\ttag=x", 0},
		{"a line too long", "auth", 2, pad(ask(1, "session="), "\tresp="+ok, authproto.MaxLoginLine+1), "EOF", 0},
		{"too many fields", "auth", 2, ask(1, strings.Repeat("a\t", authproto.MaxFields)), "EOF", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, h *house) {
				w := call(t, h.Server, tt.role)
				w.greeted(tt.minor)
				w.began = time.Now()
				got := make(chan string, 100)
				go func() {
					defer close(got)
					for line := w.says(); line != "EOF"; line = w.says() {
						got <- line
					}
					got <- "EOF"
				}()
				want := strings.Split(tt.want, "\n")
				check := func() {
					line, ok := <-got
					if !ok || len(want) == 0 || line != want[0] {
						t.Errorf("got %q (%t), want %q", line, ok, want)
					}
					want = want[min(1, len(want)):]
				}
				for line := range strings.SplitSeq(tt.say, "\n") {
					switch line {
					case "-":
						check()
					case "~": // until nothing moves any more
						synctest.Wait()
					default:
						w.say(line)
					}
				}
				for len(want) > 0 {
					check()
				}
				if took := time.Since(w.began); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				synctest.Wait()
				select {
				case line, ok := <-got:
					if ok {
						t.Errorf("got %q after all that was wanted", line)
					}
				default:
				}
			})
		})
	}
}

// pad makes a line of n bytes, its end not counted.
func pad(before, after string, n int) string {
	return before + strings.Repeat("x", n-len(before)-len(after)) + after
}

func TestRequestIsForgottenAfterItsLifetime(t *testing.T) {
	bubble(t, func(t *testing.T, h *house) {
		w := call(t, h.Server, "auth")
		w.greeted(2)
		w.say("AUTH\t1\tPLAIN\tservice=x")
		w.want("CONT\t1\t")
		time.Sleep(requestLifetime - time.Second)
		w.say("AUTH\t2\tPLAIN\tservice=x")
		w.want("CONT\t2\t")
		time.Sleep(2 * time.Second)
		if n := h.requests.Load(); n != 1 {
			t.Errorf("%d requests are held, want the second only", n)
		}
		w.say("CONT\t1\t" + plain("", "alice", "pw"))
		w.want("FAIL\t1\treason=Authentication request timed out")
		w.say("CONT\t2\t" + plain("", "alice", "pw"))
		w.want("OK\t2\tuser=alice\ttag=x")
	})
}

func TestTooManyRequestsFailByThemselves(t *testing.T) {
	bubble(t, func(t *testing.T, h *house) {
		w := call(t, h.Server, "auth")
		w.greeted(2)
		for id := range maxOpen {
			w.say(fmt.Sprintf("AUTH\t%d\tPLAIN\tservice=x", id+1))
			w.want(fmt.Sprintf("CONT\t%d\t", id+1))
		}
		w.say("AUTH\t9999\tPLAIN\tservice=x")
		w.want("FAIL\t9999\tcode=temp_fail\treason=Too many logins at a time, try again later")
		w.say("CONT\t1\t" + plain("", "alice", "pw"))
		w.want("OK\t1\tuser=alice\ttag=x")
		w.say("AUTH\t9999\tPLAIN\tservice=x")
		w.want("CONT\t9999\t")
		other := call(t, h.Server, "auth")
		other.greeted(2)
		other.say("AUTH\t1\tPLAIN\tservice=x")
		other.want("CONT\t1\t")
		w.Close()
		synctest.Wait()
		if n := h.requests.Load(); n != 1 {
			t.Errorf("%d requests are held after the client left, want the other's", n)
		}
	})
}

func TestDelaysHoldNoGoroutine(t *testing.T) { // not parallel: it counts all there are
	inBubble(t, func(t *testing.T, h *house) {
		w := call(t, h.Server, "auth")
		w.greeted(2)
		for id := range 100 {
			w.say(fmt.Sprintf("AUTH\t%d\tPLAIN\tservice=x\tresp=%s", id+1, plain("", "alice", "wrong")))
		}
		synctest.Wait()
		if n := goroutines(); n > 1 {
			t.Errorf("%d goroutines of clients, want the reader's", n)
		}
		w.Close()
		synctest.Wait()
		if n := h.requests.Load(); n != 0 {
			t.Errorf("%d requests are held after the client left, want none", n)
		}
	})
}

func TestDrainAnswersWhatRuns(t *testing.T) {
	bubble(t, func(t *testing.T, h *house) {
		w := call(t, h.Server, "auth")
		w.greeted(2)
		w.say("AUTH\t1\tPLAIN\tservice=x", "AUTH\t2\tPLAIN\tservice=x\tresp="+plain("", "alice", "wrong"))
		w.want("CONT\t1\t")
		synctest.Wait()
		go h.Drain(time.Minute)
		w.want("FAIL\t2\tuser=alice", "EOF")
		if took := time.Since(w.began); took != 0 {
			t.Errorf("took %v, want no delay any more", took)
		}
	})
}

func TestDrainInTheHandshake(t *testing.T) {
	bubble(t, func(t *testing.T, h *house) {
		w := call(t, h.Server, "auth")
		w.want("VERSION\t1\t4")
		go h.Drain(time.Minute)
		w.want("EOF")
	})
}

func TestClientForgesNoLogLine(t *testing.T) {
	bubble(t, func(t *testing.T, h *house) {
		w := call(t, h.Server, "auth")
		w.greeted(2)
		w.say("AUTH\t1\tPLAIN\tservice=x\tsession=a\x01nforged\tresp=" + plain("", "down\nforged", "pw"))
		w.want("FAIL\t1\tuser=down?forged\tcode=temp_fail\treason=Temporary authentication failure")
		w.say("FORGED\x01nforged")
		w.want("EOF")
		if strings.Contains(h.logged(), "\nforged") || strings.Contains(h.logged(), "FORGED") {
			t.Errorf("the log has what the client sent: %q", h.logged())
		}
	})
}

// strict is a Penalties that always wants fifteen seconds, and after refuse tries
// no more of them. It writes down what it is told.
type strict struct {
	refuse int
	told   []string
}

func (p *strict) Before(_ context.Context, w penalty.Who) (time.Duration, bool) {
	p.told = append(p.told, fmt.Sprintf("before %s %s %s %v", w.IP, w.User, w.Checksum, w.Patience))
	p.refuse--
	return 15 * time.Second, p.refuse < 0
}

func (p *strict) After(_ context.Context, w penalty.Who, ok bool) {
	p.told = append(p.told, fmt.Sprintf("after %s %t", w.User, ok))
}

func (p *strict) Abandon(_ context.Context, w penalty.Who) {
	p.told = append(p.told, "abandon "+w.User)
}

func (p *strict) Checksum(user, password string) string {
	return fmt.Sprintf("%s/%d", user, len(password))
}

// TestPenalties has delays, penalties and lookups together within what a client
// waits for: the answer to a third failure reaches Postfix as one.
func TestPenalties(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, say, want string
		minor           int
		took            time.Duration
		told            string
	}{
		{"Postfix hears of a failure in time", "resp=" + plain("", "Alice", "wrong"), "FAIL\t1\tuser=alice", 0, shortPatience,
			"before 192.0.2.1 alice alice/5 8s, after alice false"},
		{"a success waits as long", "resp=" + plain("", "alice", "pw"), "OK\t1\tuser=alice\ttag=x", 1, shortPatience,
			"before 192.0.2.1 alice alice/2 8s, after alice true"},
		{"others wait longer", "resp=" + plain("", "alice", "wrong"), "FAIL\t1\tuser=alice", 2, 17 * time.Second,
			"before 192.0.2.1 alice alice/5 25s, after alice false"},
		{"nodelay is of the delay only", "resp=" + plain("", "quick", "wrong"), "FAIL\t1\tuser=quick\tnodelay", 2, 15 * time.Second,
			"before 192.0.2.1 quick quick/5 25s, after quick false"},
		{"a source that is away counts for nothing", "resp=" + plain("", "down", "x"), "FAIL\t1\tuser=down\tcode=temp_fail\treason=Temporary authentication failure", 2, 17 * time.Second,
			"before 192.0.2.1 down down/1 25s, abandon down"},
		{"a disabled user whose password was right counts for nothing", "resp=" + plain("", "off", "pw"), "FAIL\t1\tuser=off\tcode=user_disabled", 2, 17 * time.Second,
			"before 192.0.2.1 off off/2 25s, abandon off"},
		{"no-penalty", "no-penalty\tresp=" + plain("", "alice", "wrong"), "FAIL\t1\tuser=alice", 2, 2 * time.Second, ""},
		{"what is not base64 is no try", "resp=*", "FAIL\t1\tcode=invalid_base64\treason=Invalid base64 data in initial response", 2, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, h *house) {
				p := &strict{refuse: 10}
				h.Penalty = p
				w := call(t, h.Server, "auth")
				w.greeted(tt.minor)
				w.began = time.Now()
				w.say("AUTH\t1\tPLAIN\tservice=x\trip=192.0.2.1\t" + tt.say)
				w.want(tt.want)
				if took := time.Since(w.began); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				if got := strings.Join(p.told, ", "); got != tt.told {
					t.Errorf("penalties were told %q, want %q", got, tt.told)
				}
			})
		})
	}
}

// A front of administration is not asked whether guesses count.
func TestNoPenaltyIsNoWordForMasterUsers(t *testing.T) {
	bubble(t, func(t *testing.T, h *house) {
		p := &strict{refuse: 10}
		h.Penalty = p
		w := call(t, h.Server, "doveadm")
		w.greeted(2)
		w.say("AUTH\t1\tPLAIN\tservice=doveadm\tno-penalty\tresp=" + plain("", "alice", "wrong"))
		w.want("FAIL\t1\tuser=alice")
		if got := strings.Join(p.told, ", "); got != "before  alice alice/5 25s, after alice false" {
			t.Errorf("penalties were told %q", got)
		}
	})
}

func TestOneTryTooMany(t *testing.T) {
	bubble(t, func(t *testing.T, h *house) {
		h.Penalty = &strict{}
		w := call(t, h.Server, "auth")
		w.greeted(2)
		w.say("AUTH\t1\tPLAIN\tservice=x\tresp=" + plain("", "alice", "pw"))
		w.want("FAIL\t1\tuser=alice\tnodelay")
		if took := time.Since(w.began); took != 0 {
			t.Errorf("took %v, want none", took)
		}
	})
}

func TestWhoLeavesBeforeTheVerdictIsSettled(t *testing.T) {
	bubble(t, func(t *testing.T, h *house) {
		p := &strict{refuse: 10}
		h.Penalty = p
		w := call(t, h.Server, "auth")
		w.greeted(4)
		w.say("AUTH\t1\tPLAIN\tservice=x\tresp=" + plain("", "slow", "pw"))
		synctest.Wait()
		w.say("CANCEL\t1")
		w.want("CANCELLED\t1")
		synctest.Wait()
		if got := strings.Join(p.told, ", "); got != "before  slow slow/2 25s, abandon slow" {
			t.Errorf("penalties were told %q", got)
		}
	})
}
