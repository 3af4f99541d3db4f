package doveadmproto

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// serve plays a server: lines "S ..." are sent, Go-quoted, and lines "C ..."
// expected, one line of the client's each. "EOF" hangs up; "REST" is silent, and
// wants the client to be.
func serve(t *testing.T, script string) (conn net.Conn, ended func()) {
	ours, theirs := net.Pipe()
	var done sync.WaitGroup
	done.Go(func() {
		defer theirs.Close()
		theirs.SetDeadline(time.Now().Add(10 * time.Second))
		r := bufio.NewReader(theirs)
		for raw := range strings.Lines(script) {
			kind, text, _ := strings.Cut(strings.Trim(raw, "\t\n"), " ")
			switch kind {
			case "S":
				var s string
				fmt.Sscanf(text, "%q", &s)
				if _, err := io.WriteString(theirs, s); err != nil {
					t.Errorf("server sends %s: %v", text, err)
				}
			case "C":
				got, err := r.ReadString('\n')
				if fmt.Sprintf("%q", got) != text {
					t.Errorf("client sent %q (%v), want %s", got, err, text)
					return
				}
			case "EOF":
				return
			case "REST": // whatever comes, nothing is answered
				if rest, _ := io.ReadAll(r); string(rest) != "" {
					t.Errorf("client sent %q", rest)
				}
			}
		}
	})
	t.Cleanup(func() { ours.Close() })
	return ours, done.Wait
}

var search = Command{User: "ann", Name: "search", Args: []string{"all"}, Extra: []string{"proxy-ttl=5"}}

func TestClient(t *testing.T) {
	t.Parallel()
	const hello = `C "VERSION\tdoveadm-server\t1\t3\n"
	`
	for _, tt := range []struct {
		name, script string
		o            Options
		cells, logs  string
		code         int
		err          error
	}{
		{"a trusted socket of 2.3, which knows no extra fields", hello + `S "VERSION\tdoveadm-client\t1\t2\n+\n"
			C "\tann\tsearch\tall\n"
			S "\x00\x00\x00\x00\x03a\t1"
			S "L\x00\x00\x00\x05\x04oops"
			S "L\x00\x00\x00\x01\nQ\x00\x00\x00\x00\x00\x00\x00\x00\x0d\t\n-NOTFOUND\n\x00"`,
			Options{}, "a 1", "4oops", NotFound, nil},
		{"a password for 2.3", hello + `S "VERSION\tdoveadm-client\t1\t2\n-\n"
			C "PLAIN\tAGRvdmVhZG0Ac2VjcmV0cHc=\n"
			S "+\n"
			C "\tann\tsearch\tall\n"
			S "\x00\x00\x00\x00\x03\n+\n"`,
			Options{Password: "secretpw"}, "", "", OK, nil},
		{"an eager client waits for nothing", hello + `C "PLAIN\tAGRvdmVhZG0Ac2VjcmV0cHc=\n"
			S "VERSION\tdoveadm-client\t1\t2\n"
			S "-\n+\n"
			C "\tann\tsearch\tall\n"
			S "\x00\x00\x00\x00\x03\n+\n"`,
			Options{Password: "secretpw", Eager: true}, "", "", OK, nil},
		{"2.4 is asked for its log lines", hello + `S "VERSION\tdoveadm-client\t1\t3\n+\n"
			C "\t\tOPTION\tlog-passthrough\n"
			C "\t\tOPTION\tculver\n"
			C "x\tproxy-ttl=5\tann\tsearch\tall\n"
			S "T\x00\x00\x00\x0217L\x00\x00\x00\x04\x02hi\n\x00\x00\x00\x00\x05\n-73\n"`,
			Options{}, "", "2hi", OverQuota, nil},
		{"a referral of 2.4", hello + `S "VERSION\tdoveadm-client\t1\t3\n+\n"
			C "\t\tOPTION\tlog-passthrough\n"
			C "\t\tOPTION\tculver\n"
			C "x\tproxy-ttl=5\tann\tsearch\tall\n"
			S "\x00\x00\x00\x00\x11\n-REFERRAL a@h:1\n"`,
			Options{}, "", "", Referral, nil},
		{"a server of minor 0 sends no packets", hello + `S "+\n"
			C "\tann\tsearch\tall\n"
			S "a\t1\t"
			S "\n+\n"`, Options{}, "a 1", "", OK, nil},
		{"no password where one is wanted", hello + `S "VERSION\tdoveadm-client\t1\t2\n-\n"`, Options{}, "", "", TempFail, ErrNoPassword},
		{"a wrong password", hello + `S "VERSION\tdoveadm-client\t1\t2\n-\n"
			C "PLAIN\tAGRvdmVhZG0AbGll\n"
			S "-\n"`, Options{Password: "lie"}, "", "", TempFail, ErrAuth},
		{"a server that hangs up instead of an answer to the password", hello + `S "VERSION\tdoveadm-client\t1\t2\n-\n"
			C "PLAIN\tAGRvdmVhZG0AbGll\n"
			EOF`, Options{Password: "lie"}, "", "", TempFail, ErrUnjudged},
		{"another name and password", hello + `S "VERSION\tdoveadm-client\t1\t2\n-\n"
			C "PLAIN\tAHJvb3QAeA==\n"
			S "-\n"`, Options{User: "root", Password: "x"}, "", "", TempFail, ErrAuth},
		{"something else than a server", hello + `S "* OK IMAP\n"`, Options{}, "", "", TempFail, ErrHandshake},
		{"another major", hello + `S "VERSION\tdoveadm-client\t2\t0\n"`, Options{}, "", "", TempFail, ErrVersion},
		{"an endless greeting", hello + `S "` + strings.Repeat("x", MaxHello) + `"`, Options{}, "", "", TempFail, ErrHandshake},
		{"a server that ends in the handshake", hello + `EOF`, Options{}, "", "", TempFail, ErrClosed},
		{"a server that ends in the reply", hello + `S "VERSION\tdoveadm-client\t1\t2\n+\n"
			C "\tann\tsearch\tall\n"
			S "\x00\x00\x00\x00\x04a\t1\t"
			S "L\x00\x00\x00\x05\x04last"
			EOF`, Options{}, "a 1", "4last", TempFail, ErrClosed},
		{"a broken reply", hello + `S "VERSION\tdoveadm-client\t1\t2\n+\n"
			C "\tann\tsearch\tall\n"
			S "\x00\x00\x00\x00\x05{}\n+\n"`, Options{}, "", "", TempFail, ErrReply},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			conn, ended := serve(t, tt.script)
			c := New(conn, tt.o)
			var got cells
			code, err := c.Run(t.Context(), search, nil, &got)
			if code != tt.code || !errors.Is(err, tt.err) || err != nil && tt.err == nil {
				t.Errorf("got %d, %v, want %d, %v", code, err, tt.code, tt.err)
			}
			if cells, logs := strings.Join(got.all, " "), strings.Join(got.logs, " "); cells != tt.cells || logs != tt.logs {
				t.Errorf("got cells %q, logs %q, want %q, %q", cells, logs, tt.cells, tt.logs)
			}
			if tt.code == Referral && c.Referral() != "a@h:1" {
				t.Errorf("referral %q", c.Referral())
			}
			conn.Close()
			ended()
		})
	}
}

const trusted = `C "VERSION\tdoveadm-server\t1\t3\n"
	S "VERSION\tdoveadm-client\t1\t2\n+\n"
	`

func TestClientSendsInput(t *testing.T) {
	t.Parallel()
	conn, ended := serve(t, trusted+`C "\tann\tsave\n"
		C "a\r\n"
		C "..\r\n"
		C "b\r\n"
		C ".\r\n"
		S "\x00\x00\x00\x00\x03\n+\n"`)
	code, err := New(conn, Options{}).Run(t.Context(), Command{User: "ann", Name: "save"}, strings.NewReader("a\n.\nb"), &cells{})
	if code != OK || err != nil {
		t.Errorf("got %d, %v", code, err)
	}
	ended()
}

func TestInputThatCannotBeReadIsNotEnded(t *testing.T) {
	t.Parallel()
	conn, ended := serve(t, trusted+`REST`) // all of it is in the client's buffer yet
	broken := errors.New("broken")
	in := io.MultiReader(strings.NewReader("a\n"), errReader{broken})
	c := New(conn, Options{})
	if _, err := c.Run(t.Context(), Command{User: "ann", Name: "save"}, in, &cells{}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if _, err := c.Run(t.Context(), search, nil, &cells{}); !errors.Is(err, broken) {
		t.Errorf("the connection is still used: %v", err)
	}
	conn.Close()
	ended()
}

type errReader struct{ error }

func (r errReader) Read([]byte) (int, error) { return 0, r.error }

func TestSeveralCommandsUnderWay(t *testing.T) {
	t.Parallel()
	conn, ended := serve(t, trusted+`C "\tann\tsearch\tall\n"
		C "\tbob\tsearch\tall\n"
		S "\x00\x00\x00\x00\x0ba\t\n+\nb\t\n-NO"
		S "\x00\x00\x00\x00\x05USER\n"`)
	c := New(conn, Options{})
	for _, user := range []string{"ann", "bob"} {
		if err := c.Send(t.Context(), Command{User: user, Name: "search", Args: []string{"all"}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []struct {
		cell string
		code int
	}{{"a", OK}, {"b", NoUser}} {
		var got cells
		if code, err := c.Receive(t.Context(), &got); code != want.code || err != nil || strings.Join(got.all, " ") != want.cell {
			t.Errorf("got %q, %d, %v, want %v", got.all, code, err, want)
		}
	}
	ended()
}

func TestCancelGoesOutWhileTheReplyIsAwaited(t *testing.T) {
	t.Parallel()
	conn, ended := serve(t, trusted+`C "\tann\tsearch\tall\n"
		S "\x00\x00\x00\x00\x02a\t"
		C "\t\tCANCEL\n"
		S "\x00\x00\x00\x00\x0b\n-TEMPFAIL\n"`)
	c := New(conn, Options{})
	if err := c.Cancel(); err != nil {
		t.Errorf("a cancel of nothing: %v", err)
	}
	code, err := c.Run(t.Context(), search, nil, canceller{&cells{}, c})
	if code != TempFail || err != nil {
		t.Errorf("got %d, %v", code, err)
	}
	ended()
}

// canceller cancels with the first cell.
type canceller struct {
	*cells
	c *Client
}

func (s canceller) Cell([]byte, bool) error { return s.c.Cancel() }

func TestAClientDoesNotOutliveItsContext(t *testing.T) {
	t.Parallel()
	conn, ended := serve(t, trusted+`C "\tann\tsearch\tall\n"
		REST`)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := New(conn, Options{}).Run(ctx, search, nil, &cells{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	conn.Close()
	ended()
}

func TestALineTooLongIsNotSent(t *testing.T) {
	t.Parallel()
	conn, _ := serve(t, trusted)
	long := Command{User: "ann", Name: "search", Args: []string{strings.Repeat("x", MaxLine)}}
	if _, err := New(conn, Options{}).Run(t.Context(), long, nil, &cells{}); err == nil || !strings.Contains(err.Error(), "1048576") {
		t.Errorf("got %v", err)
	}
}
