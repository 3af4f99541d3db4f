package peer

import (
	"bufio"
	"context"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"culver/internal/mailtest"
)

// saslClient is GNU SASL's program: its mechanisms are nobody's of ours. What it
// says and is told is base64, a line each.
type saslClient struct {
	what      string
	run       *exec.Cmd
	in        io.Writer
	out       *bufio.Reader
	complaint strings.Builder
	stop      func()
}

func startSASL(t *testing.T, mechanism, user, password string) *saslClient {
	t.Helper()
	program := mailtest.NeedProgram(t, "gsasl", "gsasl")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	run := exec.CommandContext(ctx, program, "--quiet", "--client", "--mechanism="+mechanism, "--authentication-id="+user, "--password="+password,
		"--service=smtp", "--hostname=mx.example.net", "--realm=", "--quality-of-protection=qop-auth")
	c := &saslClient{what: mechanism + " for " + user, run: run}
	c.stop = func() { // it would go on with a security layer
		cancel()
		run.Wait()
	}
	run.Stderr = &c.complaint
	in, err := run.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := run.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.in, c.out = in, bufio.NewReader(out)
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	if said := c.says(t); said != mechanism {
		t.Fatalf("gsasl says %q, want %s", said, mechanism)
	}
	return c
}

// says is the client's next message, "" where the server begins.
func (c *saslClient) says(t *testing.T) string {
	t.Helper()
	line, err := c.out.ReadString('\n')
	if err != nil {
		c.stop()
		t.Fatalf("gsasl gives up on %s: %v: %s", c.what, err, c.complaint.String())
	}
	return strings.TrimSpace(line)
}

// answers gives it the server's message.
func (c *saslClient) answers(t *testing.T, challenge string) string {
	t.Helper()
	if _, err := io.WriteString(c.in, challenge+"\n"); err != nil {
		t.Fatal(err)
	}
	return c.says(t)
}

// waits runs subtests side by side and beyond the limit of -parallel: nearly all
// of their time is waiting for delays.
type waits struct {
	t *testing.T
	sync.WaitGroup
}

func (w *waits) run(name string, test func(*testing.T)) {
	w.Go(func() { w.t.Run(name, test) })
}
